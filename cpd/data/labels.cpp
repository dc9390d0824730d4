#include <ATen/ops/upsample_bilinear2d.h>
#include <cpd/core/error.h>
#include <cpd/data/dataset.h>
#include <cpd/data/labels.h>

namespace cpd {

void check_labels(const at::Tensor& labels, int64_t classes, const std::string& whose) {
  at::Tensor outside = labels.lt(0).logical_or(labels.ge(classes));
  if (labels.dim() > 1) outside = outside.logical_and(labels.ne(kIgnoredPixel));
  if (!outside.any().item<bool>()) return;
  const auto label = labels.masked_select(outside)[0].item<int64_t>();
  throw Error("the label " + std::to_string(label) + (whose.empty() ? "" : " " + whose) +
                  " is none of the network's classes",
              {}, "0 to " + std::to_string(classes - 1));
}

at::Tensor in_size_of_labels(const at::Tensor& logits, const at::Tensor& labels) {
  if (labels.dim() != 3 || logits.sizes().slice(2) == labels.sizes().slice(1)) return logits;
  return at::upsample_bilinear2d(logits, labels.sizes().slice(1), false);
}

}  // namespace cpd
