#include <gtest/gtest.h>
#include <support/small_network.h>

#include <map>

#include "fixture.h"

namespace cpd {
namespace {

using testing::error_of;
using testing::half_of;
using testing::small_images;
using testing::small_network;
using testing::small_side;

at::Tensor images_for(const std::string& name, int64_t batch) {
  return small_images(batch, small_side(name));
}

DynamicModel dynamic_model_of(const std::string& name, const std::shared_ptr<ZooNetwork>& network) {
  const Forward outputs = [&](const std::vector<at::Tensor>& inputs) {
    return network->outputs(inputs.front());
  };
  const at::Tensor images = images_for(name, 2).to(network->parameters().front().scalar_type());
  auto model = std::make_shared<const Model>(trace_model(*network, outputs, {images}));
  auto combing = std::make_shared<const Combing>(comb(*model));
  return DynamicModel(model, combing);
}

at::Tensor loss_of(const std::vector<at::Tensor>& outputs) {
  at::Tensor loss = torch::zeros({}, outputs.front().options());
  for (const auto& output : outputs) {
    const auto weights = torch::linspace(0.5, 1.5, output.numel(), output.options());
    loss = loss + (output * weights.view_as(output)).sum();
  }
  return loss;
}

bool draws_numbers(const Model& model) {
  const auto& ops = model.graph.ops;
  return std::any_of(ops.begin(), ops.end(),
                     [](const Op& op) { return op.kind.find("dropout") != std::string::npos; });
}

class EveryZooNetwork : public ::testing::TestWithParam<std::string> {};

/// To the bit, so single precision will do.
TEST_P(EveryZooNetwork, RunsAsTheOriginalWithEverythingKept) {
  const auto network = small_network(GetParam());
  const auto twin = small_network(GetParam());
  for (const auto& same : {network, twin}) same->to(torch::kFloat);
  const at::Tensor images = images_for(GetParam(), 3).to(torch::kFloat);
  auto dynamic = dynamic_model_of(GetParam(), twin);
  for (const bool training : {false, true}) {
    SCOPED_TRACE(training ? "training" : "evaluation");
    network->train(training);
    dynamic.train(training);
    torch::manual_seed(5);
    const auto expected = network->outputs(images);
    loss_of(expected).backward();
    torch::manual_seed(5);
    const auto output = dynamic.forward(std::vector<at::Tensor>{images});
    loss_of(output).backward();
    ASSERT_EQ(output.size(), expected.size());
    for (size_t i = 0; i < output.size(); ++i) {
      EXPECT_TRUE(output[i].equal(expected[i])) << error_of(output[i], expected[i]);
    }
    for (const auto& item : network->named_parameters()) {
      const auto& other = twin->named_parameters()[item.key()];
      ASSERT_EQ(item.value().grad().defined(), other.grad().defined()) << item.key();
      if (item.value().grad().defined()) {
        EXPECT_TRUE(item.value().grad().equal(other.grad())) << item.key();
      }
    }
    for (const auto& item : network->named_buffers()) {
      EXPECT_TRUE(item.value().equal(twin->named_buffers()[item.key()])) << item.key();
    }
  }
}

/// What a training step gives: outputs, gradients and buffers by name.
struct Step {
  std::vector<at::Tensor> outputs;
  std::map<std::string, at::Tensor> gradients, buffers;
};

/// Leaves gradients and buffers of the network as they were before.
Step step_of(torch::nn::Module& network, DynamicModel& dynamic, RunMode mode,
             const at::Tensor& images) {
  std::map<std::string, at::Tensor> before;
  for (const auto& item : network.named_buffers()) before[item.key()] = item.value().clone();
  dynamic.set_mode(mode);
  Step step;
  step.outputs = dynamic.forward(std::vector<at::Tensor>{images});
  loss_of(step.outputs).backward();
  for (const auto& item : network.named_parameters()) {
    step.gradients[item.key()] = item.value().grad();
  }
  network.zero_grad(/*set_to_none=*/true);
  const at::NoGradGuard no_grad;
  for (auto& item : network.named_buffers()) {
    step.buffers[item.key()] = item.value().clone();
    item.value().copy_(before[item.key()]);
  }
  return step;
}

TEST_P(EveryZooNetwork, MaskedEqualsCompact) {
  const auto network = small_network(GetParam());
  auto dynamic = dynamic_model_of(GetParam(), network);
  dynamic.set_keep(half_of(dynamic.combing(), 7));
  const at::Tensor images = images_for(GetParam(), 4);
  for (const bool training : {false, true}) {
    SCOPED_TRACE(training ? "training" : "evaluation");
    // Full and cut widths draw different numbers.
    if (training && draws_numbers(dynamic.model())) return;
    dynamic.train(training);
    const Step masked = step_of(*network, dynamic, RunMode::kMasked, images);
    const Step compact = step_of(*network, dynamic, RunMode::kCompact, images);
    for (size_t i = 0; i < masked.outputs.size(); ++i) {
      EXPECT_LE(error_of(masked.outputs[i], compact.outputs[i]), 1e-9);
    }
    for (const auto& [name, gradient] : masked.gradients) {
      const at::Tensor& other = compact.gradients.at(name);
      ASSERT_EQ(gradient.defined(), other.defined()) << name;
      if (!gradient.defined()) continue;
      EXPECT_LE(error_of(gradient, other), 1e-7) << name;
    }
    for (const auto& [name, buffer] : masked.buffers) {
      EXPECT_LE(error_of(buffer, compact.buffers.at(name)), 1e-9) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, EveryZooNetwork, ::testing::ValuesIn(network_names()),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace cpd
