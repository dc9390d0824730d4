#include <cpd/algorithms/activation_masks.h>
#include <cpd/algorithms/block_pruning.h>
#include <cpd/algorithms/distill.h>
#include <cpd/algorithms/iterative.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/zoo/network.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <training/fixture.h>

namespace cpd::testing {
namespace {

/// A method of samples/methods with its training cut down to a few steps.
class MethodConfig : public ::testing::TestWithParam<std::string> {
 protected:
  static Model model() {
    auto network = make_network(parse_network("zoo:resnet20:classes=3:channels=1:size=16"), 1);
    randomise_statistics(*network, 2);
    network->eval();
    return trace_model(network, {random_input(input({2, 1, 16, 16}), 3)});
  }

  static Json config() {
    Json json = read_json_file(std::string(CPD_TEST_DATA) + "/../../samples/methods/" + GetParam() +
                               ".json");
    // Of a run with hooks: the hook alone.
    if (json.contains("hooks")) json = Json(json.at("hooks").at(0));
    if (json.contains("train")) json["train"]["epochs"] = 2;
    if (json.contains("interval")) json["interval"] = 1;
    if (json.contains("prunings")) json["prunings"] = 2;
    return json;
  }

  template <typename Options>
  static Options options() {
    Options result;
    read_json(config(), GetParam(), result);
    return result;
  }

  TrainResult train_with(Trainable& network, std::shared_ptr<TrainingHook> hook) {
    return train(network, {loader_}, {.epochs = 2}, {.hooks = {std::move(hook)}, .quiet = true});
  }

  Loader loader_{bright_images(64, 1), {.shape = {1, 16, 16}, .batch = 16, .shuffle = true}};
};

TEST_P(MethodConfig, Runs) {
  const std::string type = config().at("type").get<std::string>();
  if (type == "OneShot") {
    OneShot algorithm(model(), options<OneShotOptions>());
    const Report report =
        algorithm.options().train ? algorithm.run({}, {loader_}, {.quiet = true}) : algorithm.run();
    EXPECT_FALSE(report.budgets.empty());
    if (algorithm.options().train) {
      EXPECT_EQ(algorithm.result().step, 8);
    }
  } else if (type == "Iterative") {
    const Report report =
        Iterative(model(), options<IterativeOptions>()).run({loader_}, {.quiet = true});
    for (const auto& [name, budget] : report.budgets) EXPECT_LE(budget.reached, budget.limit);
    EXPECT_FALSE(report.budgets.empty());
  } else if (type == "Distill") {
    Distill algorithm(model(), options<DistillAlgorithmOptions>());
    algorithm.mutator().allocate({.macs = 0.5});
    algorithm.run({loader_}, {.quiet = true});
    EXPECT_EQ(algorithm.result().step, 8);
  } else if (type == "PruningHook") {
    const Folder folder;
    auto own = options<PruningHookOptions>();
    own.work_dir = folder.path();
    const auto mutator = make_mutator(model(), own);
    const auto hook = std::make_shared<PruningHook>(*mutator, own);
    train_with(hook->network(), hook);
    EXPECT_EQ(hook->exports().size(), own.save_sparsity_thr.size());
  } else {
    ASSERT_EQ(type, "BlockPruningHook");
    const auto own = options<BlockPruningOptions>();
    const auto& layers = own.targets.front().activations;
    const auto hook = std::make_shared<BlockPruningHook>(own);
    const auto masked = std::make_shared<const Model>(
        layers.empty() ? model() : with_activation_masks(model(), layers));
    DynamicModel network(masked, std::make_shared<const Combing>(comb(*masked)));
    train_with(*trainable(network), hook);
    EXPECT_EQ(hook->masks().size(), layers.empty() ? 18u : 6u);
    for (const auto& [name, mask] : hook->masks()) {
      EXPECT_EQ(2 * mask.sum().item<int64_t>(), mask.numel()) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, MethodConfig,
                         ::testing::Values("l1_one_shot", "fpgm", "network_slimming", "agp",
                                           "taylor_iterative", "group_fisher",
                                           "iterative_distilled", "distill", "cpd_hook",
                                           "cpd_hook_distilled", "l1_fine_tuned", "two_of_four",
                                           "activation_blocks", "annealing", "movement",
                                           "group_lasso", "growing_regularisation"));

}  // namespace
}  // namespace cpd::testing
