#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <cpd/core/error.h>
#include <cpd/training/loss.h>

namespace cpd {
namespace {

void check_labels(const at::Tensor& logits, const at::Tensor& labels) {
  const int64_t classes = logits.size(1);
  at::Tensor counted = labels;
  if (labels.dim() > 1) counted = labels.masked_select(labels.ne(kIgnoredPixel));
  if (counted.numel() == 0) return;
  for (const int64_t label : {counted.min().item<int64_t>(), counted.max().item<int64_t>()}) {
    if (label >= 0 && label < classes) continue;
    throw Error("the label " + std::to_string(label) + " does not fit the network", {},
                "classes from 0 to " + std::to_string(classes - 1) + ", its outputs");
  }
}

std::string sizes_text(const at::Tensor& tensor) {
  std::string text;
  for (const int64_t size : tensor.sizes()) {
    text += (text.empty() ? "(" : ", ") + std::to_string(size);
  }
  return text + ")";
}

}  // namespace

at::Tensor fitted_logits(const at::Tensor& logits, const at::Tensor& labels) {
  if (logits.dim() != labels.dim() + 1 || logits.size(0) != labels.size(0)) {
    throw Error(
        "the network's output " + sizes_text(logits) + " does not fit labels " + sizes_text(labels),
        {}, "logits (N, classes) for labels (N), (N, classes, H, W) for maps (N, H, W)");
  }
  check_labels(logits, labels);
  const at::Tensor wide = logits.to(at::kFloat);
  if (labels.dim() != 3 || wide.sizes().slice(2) == labels.sizes().slice(1)) return wide;
  return at::upsample_bilinear2d(wide, labels.sizes().slice(1), false);
}

at::Tensor cross_entropy(const std::vector<at::Tensor>& outputs, const Batch& batch,
                         double smoothing) {
  return at::cross_entropy_loss(fitted_logits(outputs.at(0), batch.labels), batch.labels, {},
                                at::Reduction::Mean, batch.labels.dim() > 1 ? kIgnoredPixel : -100,
                                smoothing);
}

Loss smoothed_cross_entropy(double smoothing) {
  return [smoothing](const std::vector<at::Tensor>& outputs, const Batch& batch) {
    return cross_entropy(outputs, batch, smoothing);
  };
}

}  // namespace cpd
