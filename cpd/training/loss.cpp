#include <ATen/ops/cross_entropy_loss.h>
#include <cpd/core/error.h>
#include <cpd/data/labels.h>
#include <cpd/training/loss.h>

namespace cpd {
namespace {

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
  check_labels(labels, logits.size(1));
  return in_size_of_labels(logits.to(at::kFloat), labels);
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
