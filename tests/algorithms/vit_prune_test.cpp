#include <cpd/algorithms/pruning_hook.h>
#include <cpd/core/file.h>
#include <cpd/mutators/groups_of.h>
#include <cpd/zoo/network.h>
#include <gmock/gmock.h>

namespace cpd::testing {
namespace {

std::string sample(const std::string& name) {
  return std::string(CPD_TEST_DATA) + "/../../samples/" + name;
}

/// The network that samples/vit_prune.json is for.
Model deit_with_upernet() {
  const auto network = make_network(parse_network("zoo:deit_small_upernet:size=80:classes=11"), 0);
  network->eval();
  const Forward outputs = [&](const std::vector<at::Tensor>& images) {
    return network->outputs(images.front());
  };
  return trace_model(*network, outputs, {random_input(input({2, 3, 80, 80}), 0)});
}

/// The groups in samples are those that `cpd inspect` makes, and a training run can prune by them.
TEST(VitPrune, HasTheGroupsOfItsNetwork) {
  const Model model = deit_with_upernet();
  const std::string text = read_file(sample("deit_small_upernet.json"));
  Groups groups = groups_of(ChannelMutator(model));
  // Random numbers may differ in their last bits from processor to processor.
  groups.model.weights = groups_from_json(text).model.weights;
  EXPECT_TRUE(to_json(groups) == text) << "make it anew as docs/training.md says";

  const Json config = read_json_file(sample("vit_prune.json"));
  PruningHookOptions options;
  read_json(config.at("hooks").at(0), "hooks[0]", options);
  EXPECT_EQ(options.prune_cfg, "samples/deit_small_upernet.json");
  options.prune_cfg = sample("deit_small_upernet.json");
  const auto mutator = make_mutator(model, options);
  EXPECT_EQ(groups_of(*mutator), groups);
  EXPECT_EQ(mutator->options().importance.name, "hessian");
}

}  // namespace
}  // namespace cpd::testing
