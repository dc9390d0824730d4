#include <cpd/mutators/prunable_share.h>
#include <cpd/zoo/network.h>
#include <gtest/gtest.h>
#include <support/small_spec.h>

namespace cpd {
namespace {

using testing::small_spec;

Model model_of(const std::string& name) {
  const NetworkSpec spec = small_spec(name);
  auto network = make_network(spec, 1);
  network->eval();
  const auto image = random_input(input({2, spec.channels, spec.height, spec.width}), 0);
  const auto forward = [&](const std::vector<at::Tensor>& inputs) {
    return network->outputs(inputs.front());
  };
  return trace_model(*network, forward, {image});
}

class EveryNetwork : public ::testing::TestWithParam<std::string> {};

// What stays is the bias of the logits.
TEST_P(EveryNetwork, CanLoseAllButItsOutputs) {
  const ChannelMutator mutator(model_of(GetParam()));
  const PrunableShare share = prunable_share(mutator);
  EXPECT_GT(share.parameters, 0.995);
  EXPECT_EQ(share.macs, 1);
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryNetwork, ::testing::ValuesIn(network_names()),
                         [](const auto& test) { return test.param; });

TEST(PrunableShare, LeavesOutWhatIsFrozen) {
  const Model model = model_of("alexnet");
  const double all = prunable_share(ChannelMutator(model)).parameters;
  const ChannelMutator frozen(model, {.freeze = {"classifier.*"}});
  int64_t elements = 0;
  for (const auto& parameter : model.parameters) elements += parameter.tensor.numel();
  // classifier.4 is 1024 x 1024: both of its dimensions are frozen.
  EXPECT_NEAR(all - prunable_share(frozen).parameters,
              (1024.0 * 1024 + 2 * 1024 + 5 * 1024) / static_cast<double>(elements), 1e-4);
}

TEST(PrunableShare, IsNothingWhereAllIsFrozen) {
  const ChannelMutator frozen(model_of("fashion"), {.freeze = {"*"}});
  EXPECT_EQ(prunable_share(frozen).parameters, 0);
  EXPECT_EQ(prunable_share(frozen).macs, 0);
}

}  // namespace
}  // namespace cpd
