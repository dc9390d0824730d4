#include <cpd/algorithms/iterative.h>
#include <cpd/algorithms/step_budget.h>
#include <cpd/zoo/network.h>
#include <gmock/gmock.h>

#include "agreement.h"
#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

const CompensationOptions kRefit{.type = CompensationType::kRefit, .quiet = true};

at::Tensor images_of(int64_t count) { return random_input(input({count, 1, 8, 8}), 9); }
CalibrationData calibration() { return {{{images_of(24)}}, {{images_of(40)}}}; }

/// Mean squared difference relative to the mean square of the second.
double error_of(const at::Tensor& tensor, const at::Tensor& expected) {
  return ((tensor - expected).square().mean() / expected.square().mean()).item<double>();
}

at::Tensor outputs_of(ShrinkingNetwork& network) {
  const torch::NoGradGuard no_grad;
  const TrainingMode mode(network, false);
  return torch::cat({network.forward(images_of(24)), network.forward(images_of(40))});
}

/// Before anything was pruned, the network is the dense one.
TEST(ShrinkingCompensation, IsThatOfTheDenseNetworkAtFirst) {
  ChannelMutator mutator(learnt_model());
  ShrinkingNetwork network(mutator);
  mutator.allocate({.ratio = 0.5});
  const Compensation here = network.compensate(calibration(), kRefit);
  const Compensation there =
      cpd::compensate(mutator.dense(), mutator.combing(), mutator.keep(), calibration(), kRefit);
  ASSERT_FALSE(there.values.empty());
  ASSERT_EQ(here.values.size(), there.values.size());
  for (const auto& [name, tensor] : there.values) {
    EXPECT_TRUE(tensor.equal(here.values.at(name))) << name;
  }
}

/// Each pruning is held against the network that it prunes: what the report says of the outputs is
/// what the networks before and after it say.
TEST(ShrinkingCompensation, BringsTheOutputsNearerEachTime) {
  const Folder folder;
  ChannelMutator mutator(learnt_model());
  ShrinkingNetwork network(mutator), plain(mutator);
  for (const double ratio : {0.7, 0.4, 0.25}) {
    SCOPED_TRACE(ratio);
    {
      const torch::NoGradGuard no_grad;
      for (const auto& [name, tensor] : network.parameters()) tensor.mul_(1.02);
    }
    network.write_back();
    const at::Tensor before = outputs_of(network);
    mutator.allocate({.ratio = ratio}, narrowing("uniform", mutator));
    const Compensation made = network.compensate(calibration(), kRefit);
    plain.follow();
    network.write_back(made.values);
    network.follow();
    const double after = error_of(outputs_of(network), before);
    EXPECT_NEAR(after, made.error_after, 1e-4 * made.error_before);
    EXPECT_NEAR(error_of(outputs_of(plain), before), made.error_before, 1e-4 * made.error_before);
    EXPECT_LT(after, 0.5 * made.error_before);
    EXPECT_LT(disagreement(network, images_of(5), folder.path()), 1e-5);
  }
}

/// Heads, their inner dimensions and the embedding of a transformer, with what was removed before.
TEST(ShrinkingCompensation, FollowsATransformer) {
  const Folder folder;
  const auto vit =
      make_network(parse_network("zoo:vit_b_16:size=32:embedding=24:heads=3:depth=2:classes=5"), 1);
  vit->eval();
  ChannelMutator mutator(trace_model(vit, {random_input(input({2, 3, 32, 32}), 3)}));
  const at::Tensor images = random_input(input({32, 3, 32, 32}), 4);
  ShrinkingNetwork network(mutator);
  for (const uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    network.write_back();
    mutator.allocate({.ratio = 1.0 - 0.25 * static_cast<double>(seed)},
                     narrowing("uniform", mutator));
    const Compensation made = network.compensate({{{images}}}, kRefit);
    EXPECT_LE(made.error_after, made.error_before);
    network.write_back(made.values);
    network.follow();
    EXPECT_LT(disagreement(network, images.slice(0, 0, 3), folder.path()), 1e-5);
  }
}

IterativeOptions options_with(CompensationType type) {
  IterativeOptions options;
  options.budget.macs = 0.25;
  options.interval = 3;
  options.prunings = 2;
  options.compensation.type = type;
  options.train = {.epochs = 1, .optimiser = {.lr = 1e-6}, .seed = 5};
  return options;
}

/// Hardly trained: what the network is worth is what the compensations made of it.
TEST(ShrinkingCompensation, MakesUpForWhatIterativeRemoves) {
  const auto loss_with = [](CompensationType type) {
    Iterative algorithm(learnt_model(), options_with(type));
    Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
    algorithm.run({training, validation}, {.quiet = true});
    return algorithm.result().evaluation->loss;
  };
  EXPECT_LT(loss_with(CompensationType::kRefit), 0.7 * loss_with(CompensationType::kNone));
}

/// A pruning that is put off leaves no trace in the weights.
TEST(ShrinkingCompensation, IsForgottenWithAPruningThatIsPutOff) {
  IterativeOptions options = options_with(CompensationType::kRefit);
  options.min_accuracy = 1;
  options.budget.macs = 0.06;
  options.prunings = 1;
  options.train.optimiser.lr = 0;
  Model model = learnt_model();
  std::map<std::string, at::Tensor> weights;
  for (const auto& parameter : model.parameters) {
    if (parameter.role == ParameterRole::kParameter)
      weights[parameter.name] = parameter.tensor.clone();
  }
  Iterative algorithm(std::move(model), options);
  Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
  const Report report = algorithm.run({training, validation}, {.quiet = true});
  EXPECT_EQ(report.stopped_by, "min_accuracy");
  for (const auto& [name, tensor] : ShrinkingNetwork(algorithm.mutator()).parameters()) {
    EXPECT_TRUE(tensor.equal(weights.at(name))) << name;
  }
}

/// The first pruning comes after a batch of 8.
TEST(ShrinkingCompensation, IsLeftOutUntilEnoughWasSeen) {
  IterativeOptions options = options_with(CompensationType::kRefit);
  options.interval = 1;
  Iterative algorithm(learnt_model(), options);
  Loader training = loader_of(48, 1, true, 8);
  const Report report = algorithm.run({training}, {.quiet = true});
  EXPECT_THAT(report.notes, Contains(HasSubstr("before 16 samples had been seen")));
}

TEST(ShrinkingCompensation, NeedsSamples) {
  ChannelMutator mutator(learnt_model());
  const ShrinkingNetwork network(mutator);
  mutator.allocate({.ratio = 0.5});
  EXPECT_THAT(message_of([&] { network.compensate({{{images_of(8)}}}, kRefit); }), HasSubstr("16"));
}

}  // namespace
}  // namespace cpd::testing
