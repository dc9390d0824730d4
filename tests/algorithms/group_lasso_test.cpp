#include <cpd/algorithms/group_lasso.h>
#include <cpd/algorithms/pruning_hook.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <support/network.h>
#include <torch/optim/sgd.h>

#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

Model small_model() {
  const auto network = std::make_shared<SmallNetwork>();
  network->eval();
  return trace_model(network, {torch::rand({2, 1, 8, 8})});
}

/// The sum of the channels' norms, written down for this network: what writes, scales, shifts and
/// reads each of them.
at::Tensor penalty(const std::map<std::string, at::Tensor>& w) {
  const auto rows = [](const at::Tensor& tensor) { return tensor.flatten(1); };
  const auto column = [](const at::Tensor& tensor) { return tensor.unsqueeze(1); };
  const at::Tensor conv1 = torch::cat(
      {rows(w.at("conv1.weight")), column(w.at("conv1.bias")), column(w.at("bn1.weight")),
       column(w.at("bn1.bias")), rows(w.at("conv2.weight").transpose(0, 1))},
      1);
  const at::Tensor conv2 = torch::cat(
      {rows(w.at("conv2.weight")), column(w.at("conv2.bias")), w.at("head.weight").t()}, 1);
  return conv1.norm(2, 1).sum() + conv2.norm(2, 1).sum();
}

/// The largest relative error of the gradients that a hook adds to zeros.
double gradient_error(PruningHook& hook, double strength) {
  std::map<std::string, at::Tensor> copies;
  for (const auto& [name, tensor] : hook.network().parameters()) {
    copies[name] = tensor.detach().clone().requires_grad_();
    tensor.mutable_grad() = torch::zeros_like(tensor);
  }
  hook.regularise();
  (strength * penalty(copies)).backward();
  double error = 0;
  for (const auto& [name, tensor] : hook.network().parameters()) {
    const at::Tensor expected = copies.at(name).grad();
    error = std::max(error, expected.defined() ? relative_error(tensor.grad(), expected)
                                               : tensor.grad().abs().max().item<double>());
  }
  return error;
}

TEST(GroupLasso, AddsTheGradientOfTheNormsOfAllChannels) {
  ChannelMutator mutator(small_model(), {.importance = "l2"});
  PruningHookOptions options{.interval = 1, .prunings = 2, .budget = {.macs = 0.5}};
  options.regulariser = regulariser(GroupLassoOptions{.strength = 0.3});
  PruningHook hook(mutator, options);
  EXPECT_LT(gradient_error(hook, 0.3), 1e-5);
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : hook.network().parameters()) parameters.push_back(tensor);
  torch::optim::SGD optimiser(parameters, 0.1);
  hook.attach(optimiser);
  EXPECT_TRUE(hook.after_iteration(1));
  EXPECT_LT(gradient_error(hook, 0.3), 1e-5);  // of the smaller network
  EXPECT_TRUE(hook.after_iteration(2));
  ASSERT_TRUE(hook.is_done());
  EXPECT_GT(gradient_error(hook, 0.3), 0.9);  // nothing is pulled any more
}

TEST(GroupLasso, MakesChannelsSmall) {
  const auto norms = [](double strength) {
    ChannelMutator mutator(learnt_model(), {.importance = "l2"});
    PruningHookOptions options{.interval = 18, .prunings = 1, .budget = {.macs = 0.5}};
    options.regulariser = regulariser(GroupLassoOptions{.strength = strength});
    const auto hook = std::make_shared<PruningHook>(mutator, options);
    Loader training = loader_of(96, 1, true);
    train(hook->network(), {training}, {.epochs = 3, .optimiser = {.lr = 0.05}},
          {.hooks = {hook}, .quiet = true});
    std::map<std::string, at::Tensor> weights;
    for (const auto& [name, tensor] : hook->network().parameters()) weights[name] = tensor;
    return penalty(weights).item<double>();
  };
  EXPECT_LT(norms(0.3), 0.8 * norms(0));
}

TEST(GroupLasso, ReadsItsConfiguration) {
  const auto read = [](const std::string& text) {
    Regulariser result;
    read_json(parse_json(text, "test"), "regulariser", result);
    return Json(result);
  };
  const Json json = read(R"({"type": "group_lasso", "strength": 0.01})");
  EXPECT_EQ(json.at("strength"), 0.01);
  EXPECT_EQ(read(json.dump()), json);
  const auto error = [&](const char* text) { return message_of([&] { read(text); }); };
  EXPECT_THAT(error(R"({"type": "group_lasso", "strength": -1})"),
              HasSubstr("regulariser.strength"));
  EXPECT_THAT(error(R"({"type": "group_lasso", "delta": 1})"), HasSubstr("regulariser.delta"));
  EXPECT_THAT(error(R"({"type": "group_laso"})"), HasSubstr("did you mean 'group_lasso'"));
  EXPECT_THAT(error("{}"), HasSubstr("regulariser.type"));
}

}  // namespace
}  // namespace cpd::testing
