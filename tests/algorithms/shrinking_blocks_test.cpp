#include <cpd/algorithms/iterative.h>
#include <cpd/zoo/network.h>
#include <gmock/gmock.h>
#include <torch/optim/sgd.h>

#include "agreement.h"

namespace cpd::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

Model residual_network() {
  const auto network = make_network(parse_network("zoo:resnet20:classes=3:channels=1:size=16"), 1);
  randomise_statistics(*network, 2);
  network->eval();
  return trace_model(network, {random_input(input({2, 1, 16, 16}), 3)});
}

at::Tensor images() { return random_input(input({5, 1, 16, 16}), 9); }

std::vector<std::string> names_of(const NamedTensors& named) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : named) names.push_back(name);
  return names;
}

/// Blocks leave one after another, with channels of others, while the network trains.
TEST(ShrinkingNetwork, LosesBlocks) {
  const Folder folder;
  ChannelMutator mutator(residual_network(), {.blocks = true});
  ShrinkingNetwork network(mutator);
  network.train(true);
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : network.parameters()) tensors.push_back(tensor);
  torch::optim::SGD optimiser(tensors, torch::optim::SGDOptions(0.01).momentum(0.9));
  Choices choices;
  for (const std::string block : {"layer2.1", "layer1.0", "layer3.2"}) {
    SCOPED_TRACE(block);
    optimiser.zero_grad();
    network.forward(images()).square().mean().backward();
    optimiser.step();
    network.write_back();
    choices[block + "#block"] = int64_t{0};
    choices["layer3.1.conv1_(0, 64)_out_2_in_1"] =
        int64_t{50} - 10 * static_cast<int64_t>(choices.size());
    mutator.set_choices(choices);
    const NamedTensors old = network.parameters();
    const StateCut how = network.follow();
    replace_parameters(optimiser, old, network.parameters(), how);
    EXPECT_THAT(names_of(old), Contains(StartsWith(block)));
    EXPECT_THAT(names_of(network.parameters()), Not(Contains(StartsWith(block))));
    EXPECT_LT(disagreement(network, images(), folder.path()), 1e-5);
    EXPECT_EQ(optimiser.param_groups().front().params().size(), network.parameters().size());
  }
}

TEST(Iterative, DropsBlocksWhileItTrains) {
  const Folder folder;
  IterativeOptions options;
  options.budget.macs = 0.6;
  options.interval = 2;
  options.prunings = 3;
  options.mutator = {.importance = "fisher", .only = {"blocks.*"}};
  options.train = {.epochs = 2, .optimiser = {.lr = 0.01}};
  Iterative algorithm(residual_network(), options);
  Loader training(bright_images(64, 1), {.shape = {1, 16, 16}, .batch = 16, .shuffle = true});
  const Report report = algorithm.run({training}, {.quiet = true});
  EXPECT_LE(report.after.macs, 0.6 * report.before.macs);
  EXPECT_GE(report.after.macs, 0.4 * report.before.macs);
  EXPECT_THAT(algorithm.mutator().plan().dropped, Not(IsEmpty()));
  ShrinkingNetwork network(algorithm.mutator());
  EXPECT_LT(disagreement(network, images(), folder.path()), 1e-5);
}

}  // namespace
}  // namespace cpd::testing
