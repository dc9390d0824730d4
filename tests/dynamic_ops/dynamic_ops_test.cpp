#include <gtest/gtest.h>

#include <map>

#include "sources.h"

namespace cpd {
namespace {

using testing::error_of;
using testing::example;
using testing::Source;

/// What one training step gives: the output, all gradients and the buffers after it.
struct Step {
  at::Tensor output;
  NamedTensors gradients;
  NamedTensors buffers;
};

at::Tensor loss_of(const at::Tensor& output) {
  const auto weights = torch::linspace(0.5, 1.5, output.numel(), output.options());
  return (output.reshape({-1}) * weights.detach()).sum();
}

at::Tensor gradient_of(const at::Tensor& parameter) {
  return parameter.grad().defined() ? parameter.grad().clone() : torch::zeros_like(parameter);
}

Step step_of(DynamicModel& model, const at::Tensor& input) {
  for (auto& [name, parameter] : model.named_parameters()) parameter.mutable_grad() = at::Tensor();
  Step step;
  step.output = model.forward(input);
  loss_of(step.output).backward();
  for (const auto& [name, parameter] : model.named_parameters()) {
    step.gradients.emplace_back(name, gradient_of(parameter));
  }
  for (const auto& [name, buffer] : model.named_buffers()) {
    step.buffers.emplace_back(name, buffer.clone());
  }
  return step;
}

Step step_of(torch::jit::Module& module, const at::Tensor& input) {
  Step step;
  step.output = module.forward({input}).toTensor();
  loss_of(step.output).backward();
  for (const auto& parameter : module.named_parameters()) {
    step.gradients.emplace_back(parameter.name, gradient_of(parameter.value));
  }
  for (const auto& buffer : module.named_buffers()) {
    step.buffers.emplace_back(buffer.name, buffer.value.clone());
  }
  return step;
}

const at::Tensor& find(const NamedTensors& tensors, const std::string& name) {
  for (const auto& [candidate, tensor] : tensors) {
    if (candidate == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

void expect_near(const Step& step, const Step& expected, double bound) {
  EXPECT_LE(error_of(step.output, expected.output), bound);
  ASSERT_EQ(step.gradients.size(), expected.gradients.size());
  for (const auto& [name, gradient] : expected.gradients) {
    EXPECT_LE(error_of(find(step.gradients, name), gradient), bound) << "gradient of " << name;
  }
  ASSERT_EQ(step.buffers.size(), expected.buffers.size());
  for (const auto& [name, buffer] : expected.buffers) {
    EXPECT_LE(error_of(find(step.buffers, name), buffer), bound) << "buffer " << name;
  }
}

class EveryDynamicOp : public ::testing::TestWithParam<Source> {};

TEST_P(EveryDynamicOp, ComputesTheOriginalWithEverythingKept) {
  for (const bool training : {false, true}) {
    SCOPED_TRACE(training ? "training" : "evaluation");
    auto module = testing::module_of(GetParam());
    module.train(training);
    auto model = testing::dynamic_model_of(GetParam());
    model.train(training);
    const auto input = example(GetParam(), 2, 17);
    expect_near(step_of(model, input), step_of(module, input), 0.0);
  }
}

TEST_P(EveryDynamicOp, MaskedEqualsCompact) {
  for (const uint64_t seed : {1, 2, 3, 4}) {
    for (const bool training : {false, true}) {
      for (const int64_t batch : {2, 3}) {
        SCOPED_TRACE("seed " + std::to_string(seed) + (training ? ", training" : ", evaluation") +
                     ", batch " + std::to_string(batch));
        auto masked = testing::dynamic_model_of(GetParam());
        auto compact = testing::dynamic_model_of(GetParam());
        compact.set_mode(RunMode::kCompact);
        for (auto* model : {&masked, &compact}) {
          model->set_keep(testing::half_of(model->combing(), seed));
          model->train(training);
        }
        const auto input = example(GetParam(), batch, seed);
        expect_near(step_of(masked, input), step_of(compact, input), 1e-10);
      }
    }
  }
}

/// Every value of a run, as far as it is a tensor.
std::map<ValueId, at::Tensor> values_of(DynamicModel& model, const at::Tensor& input) {
  std::map<ValueId, at::Tensor> values;
  model.forward({input}, [&](const Op& op, Tensors& all) {
    for (const ValueId id : op.outputs) values[id] = all[static_cast<size_t>(id)].detach();
  });
  return values;
}

TEST_P(EveryDynamicOp, KeptEntriesOfEveryValueAreTheCompactOnes) {
  auto model = testing::dynamic_model_of(GetParam());
  for (const uint64_t seed : {5, 6, 7, 8}) {
    model.set_keep(testing::half_of(model.combing(), seed));
    const auto input = example(GetParam(), 3, seed);
    model.set_mode(RunMode::kMasked);
    const auto masked = values_of(model, input);
    model.set_mode(RunMode::kCompact);
    for (const auto& [id, compact] : values_of(model, input)) {
      const auto& full = masked.at(id);
      if (!full.is_floating_point()) continue;
      EXPECT_LE(error_of(model.masks().cut(full, id), compact), 1e-10) << "value " << id;
      EXPECT_TRUE(full.isfinite().all().item<bool>()) << "value " << id;
    }
  }
}

TEST_P(EveryDynamicOp, SomethingIsCut) {
  auto model = testing::dynamic_model_of(GetParam());
  const auto input = example(GetParam(), 2, 5);
  const auto whole = model.forward(input);
  model.set_keep(testing::half_of(model.combing(), 1));
  EXPECT_FALSE(model.masks().whole());
  EXPECT_GT(error_of(model.forward(input), whole), 1e-3);
  model.set_keep(Keep(model.combing()));
  EXPECT_TRUE(model.forward(input).equal(whole));
}

TEST_P(EveryDynamicOp, InferenceFollowsChangedWeights) {
  const c10::AutoGradMode no_grad(false);
  auto model = testing::dynamic_model_of(GetParam());
  model.set_keep(testing::half_of(model.combing(), 2));
  const auto input = example(GetParam(), 2, 5);
  for (const auto mode : {RunMode::kMasked, RunMode::kCompact}) {
    model.set_mode(mode);
    const auto before = model.forward(input);
    EXPECT_TRUE(model.forward(input).equal(before));
    for (auto& [name, parameter] : model.named_parameters()) parameter.mul_(1.25);
    EXPECT_GT(error_of(model.forward(input), before), 1e-3);
  }
  model.set_mode(RunMode::kMasked);
  const auto masked = model.forward(input);
  model.set_mode(RunMode::kCompact);
  EXPECT_LE(error_of(masked, model.forward(input)), 1e-10);
}

TEST_P(EveryDynamicOp, ShrunkModelIsTheCompactOne) {
  auto model = testing::dynamic_model_of(GetParam());
  model.set_keep(testing::half_of(model.combing(), 3));
  const auto input = example(GetParam(), 2, 5);
  const auto before = model.forward(input);
  const auto cuts = model.shrink();
  EXPECT_FALSE(cuts.empty());
  EXPECT_LE(error_of(model.forward(input), before), 1e-10);
  for (const auto& [name, parameter] : model.named_parameters()) {
    const auto cut = cuts.find(name);
    if (cut == cuts.end()) continue;
    EXPECT_EQ(parameter.sizes().vec(), cut->second.compact) << name;
  }
  auto twin = testing::dynamic_model_of(GetParam());
  twin.set_keep(testing::half_of(twin.combing(), 3));
  EXPECT_LE(error_of(step_of(model, input).output, step_of(twin, input).output), 1e-10);
}

INSTANTIATE_TEST_SUITE_P(, EveryDynamicOp, ::testing::ValuesIn(testing::op_sources()),
                         [](const auto& source) { return source.param.name; });

}  // namespace
}  // namespace cpd
