#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/data/dataset.h>
#include <cpd/data/labels.h>
#include <cpd/importance/sample_loss.h>

namespace cpd {
namespace {

/// Classes are dimension 1; all others make up the positions of a sample.
std::vector<int64_t> label_shape(const at::Tensor& logits) {
  std::vector<int64_t> shape = logits.sizes().vec();
  shape.erase(shape.begin() + 1);
  return shape;
}

/// Labels drawn from the network's own odds.
at::Tensor drawn_labels(const at::Tensor& logits, int64_t first_sample, uint64_t seed) {
  const at::Tensor up_to = logits.detach().to(at::kDouble).softmax(1).cumsum(1);
  const int64_t positions = logits.numel() / (logits.size(0) * logits.size(1));
  std::vector<double> numbers;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    Random random(mix(seed, static_cast<uint64_t>(first_sample + i)));
    for (int64_t k = 0; k < positions; ++k) numbers.push_back(random.uniform());
  }
  const at::Tensor number = at::tensor(numbers, at::kDouble).reshape(label_shape(logits));
  return up_to.lt(number.unsqueeze(1).to(logits.device())).sum(1).clamp_max(logits.size(1) - 1);
}

void check_number(const at::Tensor& labels, int64_t samples, bool maps) {
  if (maps ? labels.dim() == 3 && labels.size(0) == samples : labels.numel() == samples) return;
  throw Error("there are " + std::to_string(labels.numel()) + " labels for " +
                  std::to_string(samples) + " samples of the calibration data",
              {}, maps ? "a map of labels for each sample" : "one for each sample");
}

/// Of a map: the mean over the pixels of each sample that have a label, summed over samples.
at::Tensor cross_entropy_of_maps(const at::Tensor& logits, const at::Tensor& labels) {
  const at::Tensor losses = at::cross_entropy_loss(in_size_of_labels(logits, labels), labels, {},
                                                   at::Reduction::None, kIgnoredPixel);
  const at::Tensor counted = labels.ne(kIgnoredPixel).flatten(1).sum(1).clamp_min(1);
  return losses.flatten(1).sum(1).div(counted).sum();
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& given, int64_t samples,
                         int64_t first_sample, const StatisticsOptions& options) {
  const bool maps = logits.dim() == 4;
  if (logits.dim() != 2 && !maps) {
    throw Error("the network's first output has " + std::to_string(logits.dim()) + " dimensions",
                {},
                "class scores (N, classes) or maps of them (N, classes, H, W), or a loss of one's "
                "own");
  }
  const bool draws = options.draw_labels || !given.defined();
  const at::Tensor labels = draws ? drawn_labels(logits, first_sample, options.seed) : given;
  check_number(labels, samples, maps);
  check_labels(labels, logits.size(1), "of the calibration data");
  if (maps) return cross_entropy_of_maps(logits, labels);
  return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum);
}

}  // namespace

at::Tensor sample_loss(const std::vector<at::Tensor>& outputs, const at::Tensor& labels,
                       int64_t samples, int64_t first_sample, const StatisticsOptions& options) {
  at::Tensor loss = options.loss
                        ? options.loss(outputs, labels)
                        : cross_entropy(outputs.front(), labels, samples, first_sample, options);
  if (!at::isfinite(loss.detach()).all().item<bool>()) {
    throw Error("the loss on the calibration data is not finite", {},
                "weights and data without NaN or infinity");
  }
  return loss;
}

}  // namespace cpd
