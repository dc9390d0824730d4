#include <ATen/ops/batch_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>
#include <cpd/dynamic_ops/normalisation.h>

#include <cmath>
#include <numeric>
#include <sstream>

namespace cpd {
namespace {

/// Puts the statistics of removed channels back after a run in training mode.
class StatisticsGuard {
 public:
  explicit StatisticsGuard(OpRun& run) : run_(run) {
    for (const char* name : {"running_mean", "running_var"}) {
      const ValueId id = run.op().tensor(name);
      if (id >= 0 && run.masks().cuts(id)) before_.emplace_back(id, run.value(id).detach().clone());
    }
  }

  void restore() {
    const c10::AutoGradMode no_grad(false);
    for (const auto& [id, before] : before_) {
      // An alias with a version of its own: the backward pass has saved these tensors, but does not
      // need their values.
      auto statistics = run_.value(id).variable_data();
      statistics.copy_(at::where(run_.masks().mask(statistics, id, {0}), statistics, before));
    }
  }

 private:
  OpRun& run_;
  std::vector<std::pair<ValueId, at::Tensor>> before_;
};

std::string number_text(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

const char* truth(bool value) { return value ? "True" : "False"; }

}  // namespace

DynamicBatchNorm::DynamicBatchNorm(const Model& model, OpId op) : DynamicOp(model, op) {
  const ValueId mean = this->op().tensor("running_mean");
  if (mean < 0 || graph().value(mean).kind != ValueKind::kParameter) return;
  const std::string& name = model.parameter(mean).name;
  const auto* counter = model.find(name.substr(0, name.rfind('.') + 1) + "num_batches_tracked");
  if (counter != nullptr) counter_ = counter->tensor;
}

void DynamicBatchNorm::run_plain(OpRun& run) const {
  if (!counter_.defined() || !as_bool(run.number("training"))) return run.run();
  at::Tensor counter = counter_;
  counter.add_(1);
  if (run.op().has("momentum") && as_double(run.number("momentum")) != 0.0) return run.run();
  const double average = 1.0 / counter.item<double>();
  run.set(run.op().outputs.front(),
          at::batch_norm(run.operand("input"), run.operand("weight"), run.operand("bias"),
                         run.operand("running_mean"), run.operand("running_var"), true, average,
                         as_double(run.number("eps")), as_bool(run.number("cudnn_enabled"))));
}

void DynamicBatchNorm::run_masked(OpRun& run) const {
  if (!as_bool(run.number("training"))) return run_plain(run);
  StatisticsGuard guard(run);
  run_plain(run);
  guard.restore();
}

std::optional<LayerText> DynamicBatchNorm::describe() const {
  const ValueId input = op().tensor("input");
  const int spatial = std::max(rank(input) - 2, 1);
  LayerText text;
  text.type = "DynamicBatchNorm" + std::to_string(spatial) + "d";
  const bool cumulative = !op().has("momentum") || op().real("momentum") == 0.0;
  text.attributes = std::to_string(shape(input)[1]) + ", eps=" + number_text(op().real("eps")) +
                    ", momentum=" + (cumulative ? "None" : number_text(op().real("momentum"))) +
                    ", affine=" + truth(op().has("weight")) +
                    ", track_running_stats=" + truth(op().has("running_mean"));
  text.ports = {{"num_features", input, 1}};
  return text;
}

void DynamicLayerNorm::run_masked(OpRun& run) const {
  const ValueId input = run.op().tensor("input");
  const auto sizes = run.op().integers("normalized_shape");
  std::vector<int> dims(sizes.size());
  std::iota(dims.begin(), dims.end(), rank(input) - static_cast<int>(sizes.size()));
  const auto& x = run.value(input);
  const auto mask = run.masks().mask(x, input, dims);
  if (!mask.defined()) return run.run();
  double kept = 1, dense = 1;
  for (const int dim : dims) {
    kept *= static_cast<double>(run.masks().kept(input, dim));
    dense *= static_cast<double>(shape(input)[static_cast<size_t>(dim)]);
  }
  const std::vector<int64_t> over(dims.begin(), dims.end());
  const auto mean = run.masks().masked(x, input, dims).sum(over, true).div(kept);
  const auto filled = at::where(mask, x, mean);
  // Variance over the dense number is kept / dense of the one wanted.
  const double share = kept / dense;
  auto weight = run.operand("weight");
  if (!weight.defined()) weight = at::ones(sizes, x.options().requires_grad(false));
  run.set(run.op().outputs.front(),
          at::layer_norm(filled, sizes, weight.mul(std::sqrt(share)), run.operand("bias"),
                         as_double(run.number("eps")) * share, true));
}

std::optional<LayerText> DynamicLayerNorm::describe() const {
  const ValueId input = op().tensor("input");
  const auto sizes = op().integers("normalized_shape");
  std::ostringstream list;
  for (size_t i = 0; i < sizes.size(); ++i) list << (i > 0 ? ", " : "") << sizes[i];
  LayerText text;
  text.type = "DynamicLayerNorm";
  text.attributes = "(" + list.str() + (sizes.size() == 1 ? ",)" : ")") +
                    ", eps=" + number_text(op().real("eps")) +
                    ", elementwise_affine=" + truth(op().has("weight"));
  text.ports = {{"num_features", input, rank(input) - 1}};
  return text;
}

void DynamicGroupNorm::run_masked(OpRun& run) const {
  const ValueId input = run.op().tensor("input");
  if (run.masks().cuts(input, 1)) return run.run_gathered();
  run.run();
}

std::optional<LayerText> DynamicGroupNorm::describe() const {
  const ValueId input = op().tensor("input");
  LayerText text;
  text.type = "DynamicGroupNorm";
  text.attributes = std::to_string(op().integer("num_groups")) + ", " +
                    std::to_string(shape(input)[1]) + ", eps=" + number_text(op().real("eps")) +
                    ", affine=" + truth(op().has("weight"));
  text.ports = {{"num_channels", input, 1}};
  return text;
}

void DynamicInstanceNorm::run_masked(OpRun& run) const {
  if (!as_bool(run.number("use_input_stats"))) return run.run();
  StatisticsGuard guard(run);
  run.run();
  guard.restore();
}

std::optional<LayerText> DynamicInstanceNorm::describe() const {
  const ValueId input = op().tensor("input");
  LayerText text;
  text.type = "DynamicInstanceNorm" + std::to_string(std::max(rank(input) - 2, 1)) + "d";
  text.attributes = std::to_string(shape(input)[1]) + ", eps=" + number_text(op().real("eps")) +
                    ", momentum=" + number_text(op().real("momentum")) +
                    ", affine=" + truth(op().has("weight")) +
                    ", track_running_stats=" + truth(op().has("running_mean"));
  text.ports = {{"num_features", input, 1}};
  return text;
}

}  // namespace cpd
