#include <ATen/core/grad_mode.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/core/progress.h>
#include <cpd/core/text.h>
#include <cpd/training/device.h>
#include <cpd/training/evaluate.h>
#include <cpd/training/loss.h>

namespace cpd {
namespace {

/// What is counted over batches.
class Counts {
 public:
  void add(const std::vector<at::Tensor>& outputs, const Batch& batch) {
    const at::Tensor logits = fitted_logits(outputs.at(0), batch.labels);
    const bool maps = batch.labels.dim() > 1;
    const at::Tensor counted =
        maps ? batch.labels.ne(kIgnoredPixel) : batch.labels.eq(batch.labels);
    const int64_t positions = counted.sum().item<int64_t>();
    images_ += batch.labels.size(0);
    positions_ += positions;
    if (positions == 0) return;
    const at::Tensor predicted = logits.argmax(1);
    right_ += predicted.eq(batch.labels).logical_and(counted).sum().item<int64_t>();
    loss_ += cross_entropy({logits}, batch).item<double>() * static_cast<double>(positions);
    if (maps)
      add_confusion(predicted.masked_select(counted), batch.labels.masked_select(counted),
                    logits.size(1));
  }

  double accuracy() const { return ratio(static_cast<double>(right_)); }

  Evaluation result() const {
    Evaluation evaluation;
    evaluation.images = images_;
    evaluation.accuracy = accuracy();
    evaluation.loss = ratio(loss_);
    if (confusion_.defined()) add_iou(evaluation);
    return evaluation;
  }

 private:
  double ratio(double sum) const {
    return positions_ == 0 ? 0 : sum / static_cast<double>(positions_);
  }

  /// Rows: labels, columns: predictions.
  void add_confusion(const at::Tensor& predicted, const at::Tensor& labels, int64_t classes) {
    const at::Tensor pairs = labels.mul(classes).add(predicted);
    const at::Tensor counts =
        at::bincount(pairs, {}, classes * classes).view({classes, classes}).to(at::kCPU);
    confusion_ = confusion_.defined() ? confusion_.add(counts) : counts;
  }

  void add_iou(Evaluation& evaluation) const {
    const int64_t classes = confusion_.size(0);
    const at::Tensor both = confusion_.diagonal();
    const at::Tensor either = confusion_.sum(0).add(confusion_.sum(1)).sub(both);
    double sum = 0;
    int64_t occurring = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const auto total = either[c].item<double>();
      evaluation.iou.push_back(total == 0 ? -1 : both[c].item<double>() / total);
      if (total == 0) continue;
      sum += evaluation.iou.back();
      ++occurring;
    }
    evaluation.mean_iou = occurring == 0 ? 0 : sum / static_cast<double>(occurring);
  }

  int64_t images_ = 0;
  int64_t positions_ = 0;
  int64_t right_ = 0;
  double loss_ = 0;
  at::Tensor confusion_;
};

}  // namespace

Evaluation evaluate(Trainable& network, const BatchSource& data, const EvaluateOptions& options) {
  const c10::Device device = find_device(options.device);
  const at::NoGradGuard no_grad;
  const TrainingMode mode(network, false);
  network.to(device);
  Counts counts;
  std::optional<Progress> progress;
  if (!options.quiet) progress.emplace("evaluating", data.batches);
  int64_t done = 0;
  data.start(0, 0);
  while (std::optional<Batch> batch = data.next()) {
    const Batch here{batch->images.to(device), batch->labels.to(device)};
    std::vector<at::Tensor> outputs;
    {
      const Autocast autocast(device, options.bf16);
      outputs = network.forward({here.images});
    }
    counts.add(outputs, here);
    if (progress) progress->update(++done, percent_text(counts.accuracy()));
  }
  const Evaluation evaluation = counts.result();
  if (evaluation.images == 0) throw Error("there are no images to evaluate on");
  if (progress) progress->finish(percent_text(evaluation.accuracy));
  return evaluation;
}

}  // namespace cpd
