#include <cpd/algorithms/growing_regularisation.h>
#include <cpd/algorithms/pruning_hook.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <support/network.h>
#include <torch/optim/sgd.h>

#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

PruningHookOptions growing_options(const GrowingOptions& growing) {
  PruningHookOptions options{.interval = 80, .prunings = 1, .budget = {.macs = 0.5}};
  options.allocation = "uniform";
  options.mutator.importance = "l1";
  options.regulariser = regulariser(growing);
  return options;
}

TEST(Growing, GrowsUntilItIsLargestAndAffectsAllAlike) {
  const Regulariser growing = regulariser(GrowingOptions{.delta = 0.1, .every = 2, .most = 0.25});
  const auto factor = [&](int64_t update) {
    const at::Tensor factors = growing.factors(torch::rand({3}), update);
    EXPECT_TRUE(factors.eq(factors[0]).all().item<bool>());
    return factors[0].item<double>();
  };
  EXPECT_FLOAT_EQ(factor(0), 0.1);
  EXPECT_FLOAT_EQ(factor(1), 0.1);
  EXPECT_FLOAT_EQ(factor(2), 0.2);
  EXPECT_FLOAT_EQ(factor(4), 0.25);
  EXPECT_FLOAT_EQ(factor(100), 0.25);
}

TEST(Growing, PullsWhatTheNextPruningRemovesUntilLittleIsLost) {
  torch::manual_seed(1);  // for dropout
  auto options = growing_options({.delta = 0.2, .every = 1, .most = 2});
  ChannelMutator mutator(learnt_model(), options.mutator);
  PruningHook hook(mutator, options);
  ShrinkingNetwork& network = hook.network();
  network.train(true);
  std::vector<at::Tensor> parameters;
  std::map<std::string, at::Tensor> first;
  for (const auto& [name, tensor] : network.parameters()) {
    parameters.push_back(tensor);
    tensor.mutable_grad() = torch::zeros_like(tensor);
  }
  hook.regularise();
  for (const auto& [name, tensor] : network.parameters()) {
    first[name] = tensor.grad().ne(0).to(torch::kLong);
  }
  torch::optim::SGD optimiser(parameters, 0.05);
  hook.attach(optimiser);
  Loader loader = loader_of(96, 1, true);
  at::Tensor before;
  const at::Tensor images = random_input(input({5, 1, 8, 8}), 9);
  const auto outputs = [&] {
    const torch::NoGradGuard no_grad;
    const TrainingMode mode(network, false);
    return network.forward(images);
  };
  for (int64_t i = 1; i <= 80; ++i) {
    if (i % 6 == 1) loader.start(i / 6);
    const Batch batch = *loader.next();
    optimiser.zero_grad();
    cross_entropy({network.forward(batch.images)}, batch).backward();
    hook.regularise();
    optimiser.step();
    if (i == 80) before = outputs();
    EXPECT_EQ(hook.after_iteration(i), i == 80);
  }
  EXPECT_LT(relative_error(outputs(), before), 1e-2);
  // The channels that went are those that were pulled from the first update on.
  for (const auto& [unit, name] :
       std::map<std::string, std::string>{{"conv1", "conv1.weight"}, {"conv2", "conv2.bias"}}) {
    const at::Tensor pulled = first.at(name).flatten(1 < first.at(name).dim() ? 1 : 0);
    const at::Tensor chosen = pulled.dim() == 2 ? pulled.amax(1) : pulled;
    for (const auto& [unit_name, plan] : mutator.plan().units) {
      if (unit_name.rfind(unit, 0) != 0) continue;
      std::vector<int64_t> kept;
      for (int64_t c = 0; c < chosen.size(0); ++c) {
        if (chosen[c].item<int64_t>() == 0) kept.push_back(c);
      }
      EXPECT_EQ(plan.kept.front(), kept);
      EXPECT_LT(static_cast<int64_t>(kept.size()), chosen.size(0)) << unit;
    }
  }
}

TEST(Growing, ReadsItsConfiguration) {
  const auto read = [](const std::string& text) {
    PruningHookOptions options;
    read_json(parse_json(text, "test"), "hooks[0]", options);
    options.verify("hooks[0]");
    return Json(options);
  };
  const std::string hook = R"({"budget": {"macs": 0.5}, "mutator": {"importance": "l1"},
                               "regulariser": {"type": "growing")";
  const Json json = read(hook + R"(, "delta": 0.5, "every": 3, "most": 4}})");
  EXPECT_EQ(json.at("regulariser").at("every"), 3);
  EXPECT_EQ(read(json.dump()), json);
  const auto error = [&](const std::string& text) { return message_of([&] { read(text); }); };
  EXPECT_THAT(error(hook + R"(, "every": 0}})"), HasSubstr("hooks[0].regulariser.every"));
  EXPECT_THAT(error(R"({"budget": {"macs": 0.5}, "mutator": {"importance": "fisher"},
                        "regulariser": {"type": "growing"}})"),
              HasSubstr("hooks[0].mutator.importance"));
}

}  // namespace
}  // namespace cpd::testing
