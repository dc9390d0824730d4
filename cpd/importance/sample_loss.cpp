#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/importance/sample_loss.h>

namespace cpd {
namespace {

/// Labels drawn from the network's own odds.
at::Tensor drawn_labels(const at::Tensor& logits, int64_t first_sample, uint64_t seed) {
  const at::Tensor up_to = logits.detach().to(at::kDouble).softmax(1).cumsum(1);
  std::vector<double> numbers;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    numbers.push_back(Random(mix(seed, static_cast<uint64_t>(first_sample + i))).uniform());
  }
  const at::Tensor number = at::tensor(numbers, at::kDouble).unsqueeze(1).to(logits.device());
  return up_to.lt(number).sum(1).clamp_max(logits.size(1) - 1);
}

void check_labels(const at::Tensor& labels, int64_t samples, int64_t classes) {
  if (labels.numel() != samples) {
    throw Error("there are " + std::to_string(labels.numel()) + " labels for " +
                    std::to_string(samples) + " samples of the calibration data",
                {}, "one for each sample");
  }
  const at::Tensor outside = labels.lt(0).logical_or(labels.ge(classes));
  if (!outside.any().item<bool>()) return;
  const auto label = labels.masked_select(outside)[0].item<int64_t>();
  throw Error("the label " + std::to_string(label) +
                  " of the calibration data is none of the network's classes",
              {}, "0 to " + std::to_string(classes - 1));
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& given, int64_t samples,
                         int64_t first_sample, const StatisticsOptions& options) {
  if (logits.dim() != 2) {
    throw Error("the network's first output has " + std::to_string(logits.dim()) + " dimensions",
                {}, "one row of class scores for each sample, or a loss of one's own");
  }
  const bool draws = options.draw_labels || !given.defined();
  const at::Tensor labels = draws ? drawn_labels(logits, first_sample, options.seed) : given;
  check_labels(labels, samples, logits.size(1));
  return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum);
}

}  // namespace

at::Tensor sample_loss(const std::vector<at::Tensor>& outputs, const at::Tensor& labels,
                       int64_t samples, int64_t first_sample, const StatisticsOptions& options) {
  const at::Tensor loss =
      options.loss ? options.loss(outputs, labels)
                   : cross_entropy(outputs.front(), labels, samples, first_sample, options);
  if (!at::isfinite(loss.detach()).all().item<bool>()) {
    throw Error("the loss on the calibration data is not finite", {},
                "weights and data without NaN or infinity");
  }
  return loss;
}

}  // namespace cpd
