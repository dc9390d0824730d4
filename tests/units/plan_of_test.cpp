#include <cpd/core/error.h>
#include <cpd/units/plan_of.h>
#include <dynamic_ops/sources.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpd::testing {
namespace {

class PlanOf : public ::testing::TestWithParam<Source> {};

std::string name_of(const ::testing::TestParamInfo<Source>& info) { return info.param.name; }

TEST_P(PlanOf, CutsWhatCompactionCutsAndGivesTheKeepBack) {
  const Model model = import_module(module_of(GetParam()), {example(GetParam(), 2)});
  const Combing combing = comb(model);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const Keep keep = half_of(combing, seed);
    const Plan plan = plan_of(model, combing, keep);
    const auto compaction = compact(model, combing, keep, default_rules());
    for (const auto& entry : model.parameters) {
      const auto how = compaction.gathers.find(entry.value);
      const auto cuts = plan.parameters.find(entry.name);
      ASSERT_EQ(how == compaction.gathers.end(), cuts == plan.parameters.end()) << entry.name;
      if (cuts == plan.parameters.end()) continue;
      EXPECT_TRUE(cut(entry.tensor, cuts->second).equal(gather(entry.tensor, how->second)))
          << entry.name;
    }
    const Keep again = keep_of(plan, model, combing);
    EXPECT_EQ(plan_of(model, combing, again), plan);
    EXPECT_EQ(plan_from_json(to_json(plan)), plan);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, PlanOf, ::testing::ValuesIn(op_sources()), name_of);

Source source_named(const std::string& name) {
  for (const auto& source : op_sources()) {
    if (source.name == name) return source;
  }
  throw std::runtime_error("there is no network " + name);
}

TEST(PlanOfNetworks, NamesRolesAndBlocks) {
  const Source source = source_named("grouped");
  const Model model = import_module(module_of(source), {example(source, 2)});
  const Combing combing = comb(model);
  bool blocks = false;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Plan plan = plan_of(model, combing, half_of(combing, seed));
    const auto& grouped = plan.parameters.at("g.weight");
    EXPECT_EQ(plan.parameters.at("a.weight").at(0).role, "writer");
    EXPECT_EQ(plan.parameters.at("b.weight").at(1).role, "reader");
    EXPECT_EQ(plan.parameters.at("g.bias").at(0).role, "along");
    const auto columns = grouped.find(1);
    if (columns == grouped.end() || !columns->second.blocks) continue;
    blocks = true;
    EXPECT_EQ(columns->second.along, (std::vector<int64_t>{0}));
    EXPECT_EQ(columns->second.kept.size(), 4);
  }
  EXPECT_TRUE(blocks);
}

TEST(PlanOfNetworks, StructureDoesNotDependOnBatchOrWeights) {
  const Source source = source_named("conv2d");
  const auto module = module_of(source);
  const auto two = identity_of(import_module(module, {example(source, 2)}));
  const auto five = identity_of(import_module(module, {example(source, 5)}));
  EXPECT_EQ(two, five);
  {
    const torch::NoGradGuard no_grad;
    module.attr("a").toModule().attr("bias").toTensor().add_(1);
  }
  const auto changed = identity_of(import_module(module, {example(source, 2)}));
  EXPECT_EQ(changed.structure, two.structure);
  EXPECT_NE(changed.weights, two.weights);
}

TEST(PlanOfNetworks, RefusesWhatDoesNotFit) {
  const Source source = source_named("conv2d");
  const Model model = import_module(module_of(source), {example(source, 2)});
  const Combing combing = comb(model);
  const Plan plan = plan_of(model, combing, half_of(combing, 1));
  const std::string unit = plan.units.begin()->first;
  const auto error = [&](Plan wrong) -> std::string {
    try {
      keep_of(wrong, model, combing);
    } catch (const Error& caught) {
      return caught.what();
    }
    return "";
  };
  Plan other = plan;
  other.model.structure = "0123456789abcdef";
  EXPECT_THAT(error(other), ::testing::HasSubstr("another network"));
  Plan unknown = plan;
  unknown.units["nobody"] = plan.units.at(unit);
  EXPECT_THAT(error(unknown), ::testing::HasSubstr("nobody"));
  Plan wide = plan;
  wide.units[unit].of += 1;
  EXPECT_THAT(error(wide), ::testing::HasSubstr(unit));
  for (const Indices& kept : {Indices{}, Indices{3, 1}, Indices{0, 99}, Indices{1, 1}}) {
    Plan bad = plan;
    bad.units[unit].kept = {kept};
    EXPECT_THAT(error(bad), ::testing::HasSubstr(unit));
  }
}

TEST(PlanOfNetworks, ListsThatVaryAlongDimensionsAreRead) {
  const at::Tensor dense = torch::arange(24).view({4, 6});
  std::map<int64_t, DimensionPlan> cuts;
  cuts[0] = {{}, {{0, 1, 3}}, false, "writer"};
  cuts[1] = {{0}, {{0, 5}, {2, 3}}, true, "reader"};
  EXPECT_TRUE(cut(dense, cuts).equal(torch::tensor({{0, 5}, {6, 11}, {20, 21}})));
  cuts[1] = {{0}, {{0, 1}, {2, 3}, {4, 5}, {1, 4}}, false, "reader"};
  EXPECT_TRUE(cut(dense, cuts).equal(torch::tensor({{0, 1}, {8, 9}, {19, 22}})));
  cuts[1].kept.pop_back();
  EXPECT_THROW(cut(dense, cuts), Error);
  cuts[1] = {{}, {{6}}, false, "reader"};
  EXPECT_THROW(cut(dense, cuts), Error);
  cuts[2] = {{}, {{0}}, false, "reader"};
  EXPECT_THROW(cut(dense, cuts), Error);
}

}  // namespace
}  // namespace cpd::testing
