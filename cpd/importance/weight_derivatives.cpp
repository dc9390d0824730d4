#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/importance/calibration.h>
#include <cpd/importance/sample_loss.h>
#include <cpd/importance/weight_derivatives.h>
#include <cpd/model/execution.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

namespace cpd {
namespace {

/// The fused kernels of attention have no second derivative.
class PlainAttention {
 public:
  PlainAttention()
      : flash_(at::globalContext().userEnabledFlashSDP()),
        efficient_(at::globalContext().userEnabledMemEfficientSDP()) {
    at::globalContext().setSDPUseFlash(false);
    at::globalContext().setSDPUseMemEfficient(false);
  }
  ~PlainAttention() {
    at::globalContext().setSDPUseFlash(flash_);
    at::globalContext().setSDPUseMemEfficient(efficient_);
  }
  PlainAttention(const PlainAttention&) = delete;
  PlainAttention& operator=(const PlainAttention&) = delete;

 private:
  bool flash_, efficient_;
};

std::vector<ValueId> writers_of(const Combing& combing) {
  std::set<ValueId> writers;
  for (const auto& group : combing.groups) {
    for (const auto& member : group.members) {
      if (member.role == Role::kWriter) writers.insert(member.parameter);
    }
  }
  return {writers.begin(), writers.end()};
}

at::Tensor random_signs(const at::Tensor& like, uint64_t seed) {
  Random random(seed);
  std::vector<double> signs;
  for (int64_t i = 0; i < like.numel(); ++i) signs.push_back(random.next() % 2 == 0 ? 1 : -1);
  return at::tensor(signs, at::kDouble).view(like.sizes()).to(like.options());
}

/// One forward pass with the writers as leaves.
class Derivatives {
 public:
  Derivatives(const Model& model, const Combing& combing, const StatisticsOptions& options,
              Statistics& statistics)
      : model_(model),
        options_(options),
        statistics_(statistics),
        execution_(model.graph),
        writers_(writers_of(combing)) {}

  void add(const CalibrationBatch& batch) {
    const at::AutoGradMode grad(true);
    const int64_t samples = samples_in(model_, batch);
    Tensors values(model_.graph.values.size());
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
      values[static_cast<size_t>(model_.graph.inputs[i])] = batch.inputs[i].detach();
    }
    for (const auto& parameter : model_.parameters) {
      if (parameter.value >= 0) {
        values[static_cast<size_t>(parameter.value)] = parameter.tensor.detach();
      }
    }
    std::vector<at::Tensor> weights;
    for (ValueId writer : writers_) {
      auto& value = values[static_cast<size_t>(writer)];
      value = value.alias().requires_grad_();
      weights.push_back(value);
    }
    const at::Tensor loss =
        sample_loss(execution_.run(values), batch.labels, samples, samples_, options_);
    const bool twice = options_.hessian_probes > 0;
    const auto gradients = torch::autograd::grad({loss}, weights, {}, twice, twice, true);
    for (size_t i = 0; i < weights.size(); ++i) {
      add_to(statistics_.gradients, writers_[i], weights[i], gradients[i]);
    }
    for (int probe = 0; probe < options_.hessian_probes; ++probe) {
      add_product(weights, gradients, static_cast<uint64_t>(probe));
    }
    samples_ += samples;
  }

 private:
  static void add_to(std::map<ValueId, at::Tensor>& sums, ValueId writer, const at::Tensor& weight,
                     const at::Tensor& more) {
    at::Tensor& sum = sums[writer];
    if (!sum.defined()) sum = at::zeros(weight.sizes(), at::kDouble);
    if (more.defined()) sum.add_(more.detach());
  }

  void add_product(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& gradients,
                   uint64_t probe) {
    std::vector<at::Tensor> slopes, signs;
    for (size_t i = 0; i < weights.size(); ++i) {
      signs.push_back(
          random_signs(weights[i], mix(options_.seed, static_cast<uint64_t>(samples_), probe, i)));
      if (gradients[i].defined() && gradients[i].requires_grad()) {
        slopes.push_back(gradients[i].mul(signs[i]).sum());
      }
    }
    if (slopes.empty()) return;
    at::Tensor slope = slopes.front();
    for (size_t i = 1; i < slopes.size(); ++i) slope = slope.add(slopes[i]);
    const auto products = torch::autograd::grad({slope}, weights, {}, true, false, true);
    for (size_t i = 0; i < weights.size(); ++i) {
      const at::Tensor diagonal = products[i].defined()
                                      ? products[i].mul(signs[i]).div(options_.hessian_probes)
                                      : at::Tensor();
      add_to(statistics_.hessian_diagonals, writers_[i], weights[i], diagonal);
    }
  }

  const Model& model_;
  const StatisticsOptions& options_;
  Statistics& statistics_;
  Execution execution_;
  std::vector<ValueId> writers_;
  int64_t samples_ = 0;
};

at::Tensor derivative_of(const std::map<ValueId, at::Tensor>& derivatives, const Member& member,
                         const ChannelGroup& unit) {
  const auto found = derivatives.find(member.parameter);
  if (found != derivatives.end()) return found->second;
  throw Error("the score of unit " + unit.name + " needs derivatives by its weights", {},
              "statistics that were gathered with them");
}

double& at(Scores& scores, const ChannelGroup& unit, int32_t channel) {
  return scores[static_cast<size_t>(channel / unit.of)][static_cast<size_t>(channel % unit.of)];
}

Scores zeros(const ChannelGroup& unit) {
  return Scores(unit.blocks.size(), std::vector<double>(static_cast<size_t>(unit.of), 0.0));
}

const Statistics& statistics_in(const ScoreContext& context, const ChannelGroup& unit) {
  if (context.statistics == nullptr) throw Error("the score of unit " + unit.name + " needs data");
  return *context.statistics;
}

}  // namespace

void add_weight_derivatives(const Model& model, const Combing& combing, const CalibrationData& data,
                            const StatisticsOptions& options, Statistics& statistics) {
  const PlainAttention plain;
  Derivatives derivatives(model, combing, options, statistics);
  for (const auto& batch : data) derivatives.add(batch);
}

Scores score_gradient(const ChannelGroup& unit, const ScoreContext& context) {
  const Statistics& statistics = statistics_in(context, unit);
  Scores scores = zeros(unit);
  for (const auto& member : unit.members) {
    if (member.role != Role::kWriter) continue;
    const at::Tensor gradient = derivative_of(statistics.gradients, member, unit);
    const at::Tensor sums =
        position_rows(gradient, context.combing, member).abs().sum(1).contiguous();
    for (const auto& [position, channel] : member.entries) {
      at(scores, unit, channel) += sums.const_data_ptr<double>()[position];
    }
  }
  return scores;
}

Scores score_hessian_trace(const ChannelGroup& unit, const ScoreContext& context) {
  const Statistics& statistics = statistics_in(context, unit);
  Scores traces = zeros(unit), norms = zeros(unit), counts = zeros(unit);
  for (const auto& member : unit.members) {
    if (member.role != Role::kWriter) continue;
    const at::Tensor diagonal = derivative_of(statistics.hessian_diagonals, member, unit);
    const at::Tensor weight = context.model.parameter(member.parameter).tensor.detach();
    const at::Tensor of_rows = position_rows(diagonal, context.combing, member);
    const at::Tensor trace = of_rows.sum(1).contiguous();
    const at::Tensor norm =
        position_rows(weight, context.combing, member).square().sum(1).contiguous();
    for (const auto& [position, channel] : member.entries) {
      at(traces, unit, channel) += trace.const_data_ptr<double>()[position];
      at(norms, unit, channel) += norm.const_data_ptr<double>()[position];
      at(counts, unit, channel) += static_cast<double>(of_rows.size(1));
    }
  }
  for (size_t b = 0; b < traces.size(); ++b) {
    for (size_t i = 0; i < traces[b].size(); ++i) {
      traces[b][i] *= counts[b][i] > 0 ? 0.5 * norms[b][i] / counts[b][i] : 0;
    }
  }
  return traces;
}

}  // namespace cpd
