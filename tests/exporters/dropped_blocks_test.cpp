#include <cpd/algorithms/one_shot.h>
#include <cpd/core/error.h>
#include <cpd/exporters/compact_module.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/mutators/groups_of.h>
#include <gmock/gmock.h>
#include <support/executed_products.h>
#include <support/network.h>
#include <support/small_network.h>

#include "exported.h"

namespace cpd::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kAttention = "blocks.0.attn#block";
const std::string kMlp = "blocks.1.mlp#block";
const std::string kResidual = "layer2.1#block";

std::shared_ptr<const Model> model_of(const std::string& name) {
  return std::make_shared<const Model>(trace_model(small_network(name), {small_images(2)}));
}

ChannelMutator with_blocks(const std::string& name, MutatorOptions options = {}) {
  options.blocks = true;
  return ChannelMutator(model_of(name), std::move(options));
}

std::vector<std::string> blocks_in(const ChannelMutator& mutator) {
  std::vector<std::string> names;
  for (const auto& block : mutator.combing().blocks) names.push_back(block.name);
  return names;
}

at::Tensor run_file(const std::string& path, const at::Tensor& input) {
  const torch::NoGradGuard no_grad;
  return torch::jit::load(path).forward({input}).toTensor();
}

/// The dense network in which the last layer of a branch gives nothing.
at::Tensor without(const std::string& name, const std::vector<std::string>& last_layers) {
  const torch::NoGradGuard no_grad;
  const auto network = small_network(name);
  for (auto& parameter : network->named_parameters()) {
    for (const auto& layer : last_layers) {
      if (parameter.key().starts_with(layer + ".")) parameter.value().zero_();
    }
  }
  return network->forward(small_images(3));
}

class DroppedBlocksOf : public ExportTest {
 protected:
  void exports_as(ChannelMutator& mutator, const at::Tensor& expected) {
    export_torchscript(mutator, path("pruned.pt"), {.force = true});
    EXPECT_LE(error_of(run_file(path("pruned.pt"), small_images(3)), expected), 1e-9);
    EXPECT_LE(error_of(mutator.model().forward(small_images(3)), expected), 1e-9);
    const auto verification =
        verify_export(mutator.dense(), mutator.combing(), path("pruned.pt"), mutator.plan());
    EXPECT_TRUE(verification.ok()) << verification.text();
    const ExecutedProducts products;
    run_file(path("pruned.pt"), small_images(1));
    EXPECT_EQ(mutator.cost().macs, products.macs());
    int64_t parameters = 0;
    const auto file = torch::jit::load(path("pruned.pt"));
    for (const at::Tensor& tensor : file.parameters()) parameters += tensor.numel();
    EXPECT_EQ(mutator.cost().parameters, parameters);
  }
};

TEST_F(DroppedBlocksOf, AResNetGiveTheirInput) {
  ChannelMutator mutator = with_blocks("resnet20");
  EXPECT_EQ(blocks_in(mutator).size(), 7U);  // two of nine change the shape on the way
  mutator.set_choices({{kResidual, int64_t{0}}, {"layer3.2#block", int64_t{0}}});
  exports_as(mutator, without("resnet20", {"layer2.1.bn2", "layer3.2.bn2"}));
  const auto names = names_of(torch::jit::load(path("pruned.pt")));
  EXPECT_THAT(names, AllOf(Not(Contains(HasSubstr("layer2.1"))), Contains("module layer2.2.bn1")));
  EXPECT_THAT(mutator.plan().dropped,
              AllOf(Contains("layer2.1.conv1.weight"), Contains("layer3.2.bn2.running_mean"),
                    Each(::testing::AnyOf(StartsWith("layer2.1."), StartsWith("layer3.2.")))));
}

TEST_F(DroppedBlocksOf, ATransformerGiveTheirInput) {
  ChannelMutator mutator = with_blocks("deit_tiny_patch16_224");
  EXPECT_THAT(blocks_in(mutator), ::testing::ElementsAre(kAttention, "blocks.0.mlp#block",
                                                         "blocks.1.attn#block", kMlp));
  mutator.set_choices({{kAttention, int64_t{0}}, {kMlp, int64_t{0}}});
  exports_as(mutator, without("deit_tiny_patch16_224", {"blocks.0.attn.proj", "blocks.1.mlp.fc2"}));
  EXPECT_THAT(mutator.plan().dropped, Contains("blocks.0.norm1.weight"));
  EXPECT_THAT(mutator.plan().dropped, Not(Contains("blocks.0.norm2.weight")));
}

TEST_F(DroppedBlocksOf, ANetworkGoWithChannelsOfOthers) {
  for (const std::string name : {"resnet20", "deit_tiny_patch16_224", "mobilenet_v2"}) {
    ChannelMutator mutator = with_blocks(name, {.importance = "random"});
    for (uint64_t seed = 0; seed < 3; ++seed) {
      mutator.set_choices(mutator.sample_choices(seed));
      exports_as(mutator, mutator.model().forward(small_images(3)));
      const auto module = export_module(mutator);
      EXPECT_LE(
          error_of(module->forward(small_images(3)), mutator.model().forward(small_images(3))),
          1e-9);
    }
  }
}

TEST_F(DroppedBlocksOf, APlanSurviveItsFile) {
  ChannelMutator mutator = with_blocks("resnet20");
  mutator.set_choices({{kResidual, int64_t{0}}});
  const Plan plan = plan_from_json(to_json(mutator.plan()));
  EXPECT_EQ(plan, mutator.plan());
  EXPECT_EQ(plan.units.at(kResidual), (UnitPlan{1, {{}}}));
  ChannelMutator again = with_blocks("resnet20");
  again.set_plan(plan);
  EXPECT_EQ(again.plan(), plan);
  Plan other = plan;
  other.dropped.pop_back();
  export_torchscript(mutator, path("pruned.pt"));
  EXPECT_FALSE(verify_export(mutator.dense(), mutator.combing(), path("pruned.pt"), other).ok());
  Plan empty = plan;
  empty.units["layer2.2.conv1_(0, 32)_out_2_in_1"].kept = {{}};
  EXPECT_THAT(error_text([&] { again.set_plan(empty); }), HasSubstr("nothing is kept"));
}

TEST_F(DroppedBlocksOf, GroupsSurviveTheirFileAndCanBeKept) {
  const auto model = model_of("resnet20");
  const ChannelMutator mutator(model, {.blocks = true});
  Groups groups = groups_of(mutator);
  EXPECT_EQ(groups.units.at(kResidual).kind, "blocks");
  EXPECT_EQ(groups.units.at(kResidual).min, 0);
  EXPECT_EQ(groups_from_json(to_json(groups)), groups);
  groups.units.at(kResidual).min = 1;
  groups.units.at("layer3.2#block").frozen = true;
  const ChannelMutator edited(model, with_groups({}, groups, *model));
  EXPECT_FALSE(edited.unit(kResidual).is_mutable());
  EXPECT_FALSE(edited.unit("layer3.2#block").is_mutable());
  EXPECT_TRUE(edited.unit("layer3.1#block").is_mutable());
}

TEST(BlockUnits, AreOfferedOnRequestOnly) {
  const auto model = model_of("resnet20");
  EXPECT_THAT(blocks_in(ChannelMutator(model)), IsEmpty());
  EXPECT_THAT(error_text([&] { ChannelMutator(model, {.freeze = {"blocks.*"}}); }),
              HasSubstr("no unit is meant by 'blocks.*'"));
  const ChannelMutator only(model, {.only = {"blocks.*"}});
  EXPECT_EQ(only.mutable_units().size(), 7U);
  const ChannelMutator frozen(model, {.freeze = {"blocks.layer2*"}, .blocks = true});
  EXPECT_FALSE(frozen.unit(kResidual).is_mutable());
  EXPECT_TRUE(frozen.unit("layer3.2#block").is_mutable());
}

TEST(BlockUnits, TakeOneAndNoneAndKeepAtEveryRatio) {
  ChannelMutator mutator = with_blocks("resnet20");
  const MutableChannelUnit& unit = mutator.unit(kResidual);
  EXPECT_EQ(unit.min_choice(), Choice(int64_t{0}));
  EXPECT_EQ(unit.max_choice(), Choice(int64_t{1}));
  EXPECT_EQ(unit.number_of(0.01), 1);
  EXPECT_THAT(error_text([&] { unit.number_of(int64_t{2}); }),
              AllOf(HasSubstr(kResidual), HasSubstr("0, it is dropped")));
  EXPECT_THAT(error_text([&] {
                mutator.set_choices({{"conv1_(0, 16)_out_8_in_7", int64_t{0}}});
              }),
              HasSubstr("16"));
  mutator.allocate({.ratio = 0.5});
  EXPECT_EQ(unit.activated_channels(), 1);
}

TEST(BlockUnits, AreRemovedByAllocations) {
  for (const auto& allocator : allocators()) {
    ChannelMutator mutator(model_of("resnet20"), {.only = {"blocks.*"}});
    const int64_t dense = mutator.cost().macs;
    mutator.allocate({.macs = 0.6}, allocator);
    EXPECT_LE(mutator.cost().macs, 0.6 * static_cast<double>(dense)) << allocator.name;
    EXPECT_GE(mutator.cost().macs, 0.45 * static_cast<double>(dense)) << allocator.name;
    EXPECT_FALSE(mutator.plan().dropped.empty()) << allocator.name;
  }
}

TEST(BlockUnits, AreRemovedBesideChannelsWhenTheyAreWorthLeast) {
  ChannelMutator mutator = with_blocks("resnet20");
  std::vector<Scores> scores = mutator.scores();
  for (size_t i = 0; i < scores.size(); ++i) {
    const bool is_block = mutator.units()[i]->group().kind == UnitKind::kBlocks;
    if (is_block) scores[i] = {{mutator.units()[i]->name() == kResidual ? 1e-9 : 1e9}};
  }
  mutator.set_scores(scores);
  const int64_t dense = mutator.cost().parameters;
  mutator.allocate({.params = 0.5}, "global");
  EXPECT_EQ(mutator.unit(kResidual).activated_channels(), 0);
  EXPECT_EQ(mutator.unit("layer3.2#block").activated_channels(), 1);
  EXPECT_LE(mutator.cost().parameters, dense / 2);
  EXPECT_GE(mutator.cost().parameters, 0.97 * static_cast<double>(dense / 2));
}

TEST(BlockUnits, AreWorthTheMostValuableUnitInsideThem) {
  ChannelMutator mutator = with_blocks("resnet20");
  const auto& scores = mutator.scores();
  std::map<std::string, double> totals;
  for (size_t i = 0; i < scores.size(); ++i) {
    for (const auto& block : scores[i]) {
      for (double score : block) totals[mutator.units()[i]->name()] += score;
    }
  }
  EXPECT_DOUBLE_EQ(totals.at(kResidual), totals.at("layer2.1.conv1_(0, 32)_out_2_in_1"));
}

/// What is missing of a dropped block is made up for by the layers that follow.
TEST(BlockUnits, AreFollowedByARefit) {
  const auto model = model_of("resnet20");
  CalibrationData data;
  data.push_back({{small_images(16)}});
  const auto error_with = [&](CompensationType type) {
    OneShotOptions options;
    options.mutator.blocks = true;
    options.compensation.type = type;
    OneShot algorithm(std::make_unique<ChannelMutator>(model, options.mutator), options);
    ChannelMutator& mutator = algorithm.mutator();
    mutator.set_choices({{kResidual, int64_t{0}}, {"layer1.1#block", int64_t{0}}});
    Report report;
    algorithm.compensate(data, report);
    const at::Tensor dense = ChannelMutator(model).model().forward(small_images(16));
    return error_of(mutator.model().forward(small_images(16)), dense);
  };
  EXPECT_LT(error_with(CompensationType::kRefit), 0.5 * error_with(CompensationType::kNone));
}

}  // namespace
}  // namespace cpd::testing
