#include <cpd/core/error.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/mutators/groups_of.h>
#include <dynamic_ops/sources.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace cpd::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Three convolutions: two units of 8 and 12 channels.
Source chain() {
  return {"chain",
          {{"a.weight", {8, 3, 3, 3}},
           {"a.bias", {8}},
           {"b.weight", {12, 8, 3, 3}},
           {"c.weight", {4, 12, 1, 1}}},
          "def forward(self, x):\n"
          "  y = torch.relu(torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1]))\n"
          "  z = torch.relu(torch.conv2d(y, self.b.weight, None, [1, 1], [1, 1]))\n"
          "  return torch.conv2d(z, self.c.weight)\n",
          {2, 3, 6, 6}};
}

Model chain_model() { return import_module(module_of(chain()), {example(chain(), 2)}); }

const char* const kFirst = "a_(0, 8)_out_1_in_1";
const char* const kSecond = "b_(0, 12)_out_1_in_1";

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ChannelMutator, MakesAUnitOfEachGroup) {
  const ChannelMutator mutator(chain_model());
  ASSERT_EQ(mutator.units().size(), 2);
  EXPECT_EQ(mutator.mutable_units().size(), 2);
  EXPECT_EQ(mutator.current_choices(), (Choices{{kFirst, 1.0}, {kSecond, 1.0}}));
  EXPECT_EQ(mutator.choice_template(), mutator.max_choices());
  EXPECT_EQ(mutator.min_choices(), (Choices{{kFirst, 1.0 / 8}, {kSecond, 1.0 / 12}}));
  EXPECT_THAT(mutator.text(), HasSubstr(kSecond));
}

TEST(ChannelMutator, SamplesTheSameForTheSameSeed) {
  const ChannelMutator mutator(chain_model());
  EXPECT_EQ(mutator.sample_choices(3), mutator.sample_choices(3));
  std::set<Choices> seen;
  for (uint64_t seed = 0; seed < 16; ++seed) seen.insert(mutator.sample_choices(seed));
  EXPECT_GT(seen.size(), 8);
}

TEST(ChannelMutator, SetsChoicesAndRunsWithThem) {
  ChannelMutator mutator(chain_model());
  const at::Tensor x = example(chain(), 3);
  const at::Tensor dense = mutator.model().forward(x);
  mutator.set_choices({{kFirst, 0.5}, {kSecond, int64_t{3}}});
  EXPECT_EQ(mutator.unit(kFirst).activated_channels(), 4);
  EXPECT_EQ(mutator.current_choices(), (Choices{{kFirst, 0.5}, {kSecond, 0.25}}));
  const at::Tensor masked = mutator.model().forward(x);
  EXPECT_GT(error_of(masked, dense), 1e-3);
  mutator.model().set_mode(RunMode::kCompact);
  EXPECT_LT(error_of(masked, mutator.model().forward(x)), 1e-12);
}

TEST(ChannelMutator, KeepsTheChannelsOfHighestScore) {
  ChannelMutator mutator(chain_model());
  std::vector<Scores> scores = {{{1, 8, 2, 7, 3, 6, 4, 5}}, {std::vector<double>(12, 1.0)}};
  mutator.set_scores(scores);
  mutator.set_choices({{kFirst, int64_t{3}}, {kSecond, int64_t{2}}});
  EXPECT_THAT(mutator.unit(kFirst).channels().front().kept(), ElementsAre(1, 3, 5));
  EXPECT_THAT(mutator.unit(kSecond).channels().front().kept(), ElementsAre(0, 1));
  scores[0][0].pop_back();
  EXPECT_THAT(message_of([&] { mutator.set_scores(scores); }), HasSubstr(kFirst));
  scores[0][0].push_back(NAN);
  EXPECT_THAT(message_of([&] { mutator.set_scores(scores); }), HasSubstr("not finite"));
}

TEST(ChannelMutator, RefusesBadChoicesAndStaysAsItIs) {
  ChannelMutator mutator(chain_model());
  mutator.set_choices({{kFirst, 0.5}});
  const Plan before = mutator.plan();
  const auto error = [&](const Choices& choices) {
    return message_of([&] { mutator.set_choices(choices); });
  };
  EXPECT_THAT(error({{"a_(0, 8)_out_1_in_2", 0.5}}),
              HasSubstr(std::string("did you mean '") + kFirst));
  EXPECT_THAT(error({{kFirst, 0.25}, {kSecond, 1.5}}), HasSubstr(kSecond));
  EXPECT_THAT(error({{kFirst, 0.0}}), HasSubstr(kFirst));
  EXPECT_THAT(error({{kFirst, int64_t{9}}}), HasSubstr("1 to 8"));
  EXPECT_EQ(mutator.plan(), before);
}

TEST(ChannelMutator, GivesItsPlanAndTakesItBack) {
  ChannelMutator first(chain_model());
  first.set_choices(first.sample_choices(5));
  ChannelMutator second(chain_model());
  second.set_plan(plan_from_json(to_json(first.plan())));
  EXPECT_EQ(second.current_choices(), first.current_choices());
  EXPECT_EQ(second.plan(), first.plan());
  Plan other = first.plan();
  other.model.structure = "0123456789abcdef";
  EXPECT_THAT(message_of([&] { second.set_plan(other); }), HasSubstr("another network"));
}

TEST(ChannelMutator, FollowsOptionsOfUnits) {
  UnitOverride narrow;
  narrow.divisor = 4;
  narrow.choice_mode = ChoiceMode::kNumber;
  const ChannelMutator mutator(chain_model(),
                               {.unit = {.min_ratio = 0.5}, .units = {{"b", narrow}}});
  EXPECT_EQ(mutator.min_choices(), (Choices{{kFirst, 0.5}, {kSecond, int64_t{8}}}));
  EXPECT_THAT(message_of([] { ChannelMutator(chain_model(), {.unit = {.min_ratio = 1.5}}); }),
              HasSubstr("unit.min_ratio"));
  EXPECT_THAT(message_of([] { ChannelMutator(chain_model(), {.freeze = {"nobody*"}}); }),
              HasSubstr("nobody*"));
}

TEST(ChannelMutator, ChoosesFromBuckets) {
  ChannelMutator mutator(chain_model(), {.unit = {.choice_mode = ChoiceMode::kBuckets,
                                                  .candidate_choices = {0.25, 0.5, 1.0}}});
  EXPECT_EQ(mutator.min_choices(), (Choices{{kFirst, 0.25}, {kSecond, 0.25}}));
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Choices choices = mutator.sample_choices(seed);
    mutator.set_choices(choices);
    EXPECT_EQ(mutator.current_choices(), choices);
  }
  EXPECT_THAT(message_of([&] {
                mutator.set_choices({{kFirst, 0.75}});
              }),
              HasSubstr("0.25, 0.5, 1.0"));
  EXPECT_THAT(message_of([] {
                ChannelMutator(chain_model(), {.unit = {.choice_mode = ChoiceMode::kBuckets}});
              }),
              HasSubstr("candidate_choices"));
}

TEST(ChannelMutator, WeighsUnitsThatShareABudget) {
  const auto first_with = [](double weight) {
    ChannelMutator mutator(chain_model(), {.units = {{"a*", {.weight = weight}}}});
    mutator.set_scores({{std::vector<double>(8, 1.0)}, {std::vector<double>(12, 1.0)}});
    mutator.allocate({.channels = 0.7}, "global");
    return mutator.unit(kFirst).activated_channels();
  };
  EXPECT_EQ(first_with(0.5), 2);  // 6 of 20 channels go
  EXPECT_EQ(first_with(2), 8);
  EXPECT_THAT(message_of([&] { first_with(0); }),
              HasSubstr(".weight: the value is 0.0; expected a number above 0"));
}

/// The scores of one unit are far lower than those of the other.
TEST(ChannelMutator, KeepsAUnitOfLowScoresFromCollapse) {
  const auto first_with = [](double floor, const Budget& budget) {
    ChannelMutator mutator(chain_model(), {.floor = floor});
    std::vector<double> low(8), high(12);
    std::iota(low.begin(), low.end(), 1);
    std::iota(high.begin(), high.end(), 100);
    mutator.set_scores({{low}, {high}});
    mutator.allocate(budget, "global");
    return mutator.unit(kFirst).activated_channels();
  };
  EXPECT_EQ(first_with(0, {.channels = 0.6}), 1);
  EXPECT_EQ(first_with(0.5, {.channels = 0.6}), 4);
  EXPECT_EQ(first_with(0.5, {.channels = 0.2}), 1);  // the floor gives way
  EXPECT_EQ(first_with(0.5, {.ratio = 0.25}), 2);    // what is asked of each unit stands over it
  EXPECT_EQ(ChannelMutator(chain_model()).options().floor, 0.1);
}

TEST(ChannelMutator, LeavesFrozenUnitsAlone) {
  ChannelMutator frozen(chain_model(), {.freeze = {"a"}});
  EXPECT_FALSE(frozen.unit(kFirst).is_mutable());
  EXPECT_THAT(frozen.unit(kFirst).text(), HasSubstr("frozen by name"));
  EXPECT_THAT(message_of([&] {
                frozen.set_choices({{kFirst, 0.5}});
              }),
              HasSubstr("frozen by name"));
  frozen.allocate({.ratio = 0.5});
  EXPECT_EQ(frozen.unit(kFirst).activated_channels(), 8);
  EXPECT_EQ(frozen.unit(kSecond).activated_channels(), 6);
  const ChannelMutator only(chain_model(), {.only = {"a_*"}});
  EXPECT_EQ(only.mutable_units().size(), 1);
  const ChannelMutator none(chain_model(), {.freeze = {"*"}});
  EXPECT_THAT(message_of([&] { none.check_prunable(); }), HasSubstr("frozen by name"));
}

TEST(ChannelMutator, MeetsBudgetsAndUsesThem) {
  for (const char* allocation : {"uniform", "global", "greedy"}) {
    for (const double part : {0.3, 0.5, 0.8}) {
      ChannelMutator mutator(chain_model());
      const int64_t dense = mutator.cost().macs;
      mutator.allocate({.macs = part}, allocation);
      const int64_t macs = mutator.cost().macs;
      EXPECT_LE(static_cast<double>(macs), part * static_cast<double>(dense)) << allocation;
      for (const auto* unit : mutator.mutable_units()) {
        ChannelMutator wider(chain_model());
        wider.set_choices(mutator.current_choices());
        if (unit->activated_channels() == unit->num_channels()) continue;
        wider.set_choices({{unit->name(), unit->activated_channels() + 1}});
        EXPECT_GT(static_cast<double>(wider.cost().macs), part * static_cast<double>(dense))
            << allocation << " leaves a step of " << unit->name() << " unused";
      }
    }
  }
  ChannelMutator mutator(chain_model());
  EXPECT_THAT(message_of([&] { mutator.allocate({.macs = 0.001}); }), HasSubstr("nearest"));
  EXPECT_THAT(message_of([&] { mutator.allocate({}); }), HasSubstr("budget"));
  EXPECT_THAT(message_of([&] { mutator.allocate({.ratio = 1.5}); }), HasSubstr("budget.ratio"));
}

TEST(ChannelMutator, KeepsSeveralBudgetsAtOnce) {
  ChannelMutator mutator(chain_model());
  const Cost dense = mutator.cost();
  mutator.allocate({.macs = 0.6, .params = 0.4, .channels = 12.0});
  EXPECT_LE(mutator.cost().macs, dense.macs * 6 / 10);
  EXPECT_LE(mutator.cost().parameters, dense.parameters * 4 / 10);
  EXPECT_LE(mutator.unit(kFirst).activated_channels() + mutator.unit(kSecond).activated_channels(),
            12);
}

TEST(ChannelMutator, ReadsTheDocumentsKeys) {
  const auto options_of = [](const std::string& text) {
    MutatorOptions options;
    read_json(parse_json(text, "test"), "mutator", options);
    return options;
  };
  const auto options = options_of(
      R"({"type": "ChannelMutator", "channel_unit_cfg": {"type": "L1ChannelUnit",
          "default_args": {"choice_mode": "number", "divisor": 2},
          "units": {"b": {"init_args": {"min_value": 6}, "choice": 8}}}})");
  EXPECT_EQ(options.importance.name, "l1");
  const ChannelMutator mutator(chain_model(), options);
  EXPECT_EQ(mutator.current_choices(), (Choices{{kFirst, int64_t{8}}, {kSecond, int64_t{8}}}));
  EXPECT_EQ(mutator.min_choices(), (Choices{{kFirst, int64_t{2}}, {kSecond, int64_t{6}}}));
  const auto error = [&](const std::string& text) { return message_of([&] { options_of(text); }); };
  EXPECT_THAT(error(R"({"importance": "l3"})"), HasSubstr("mutator.importance"));
  EXPECT_THAT(error(R"({"unit": {"divisor": 0}})"), HasSubstr("mutator.unit.divisor"));
  EXPECT_THAT(error(R"({"unit": {"choice_mode": "some"}})"), HasSubstr("ratio, number, buckets"));
  EXPECT_THAT(error(R"({"units": {"b": {"choices": 1}}})"), HasSubstr("mutator.units.b"));
  EXPECT_THAT(error(R"({"unit": {"type": "L3ChannelUnit"}})"), HasSubstr("L1ChannelUnit"));
}

TEST(ChannelMutator, IsBuiltAgainFromItsTemplate) {
  ChannelMutator mutator(chain_model(), {.importance = "l2",
                                         .unit = {.choice_mode = ChoiceMode::kNumber, .divisor = 2},
                                         .freeze = {"a"}});
  mutator.set_choices({{kSecond, int64_t{6}}});
  const Json json = mutator.config_template();
  MutatorOptions options;
  read_json(json, "mutator", options);
  const ChannelMutator again(chain_model(), options);
  EXPECT_EQ(again.plan(), mutator.plan());
  EXPECT_EQ(again.config_template(), json);
}

TEST(ChannelMutator, TakesEditedGroups) {
  Groups groups = groups_of(ChannelMutator(chain_model()));
  EXPECT_EQ(groups_from_json(to_json(groups)), groups);
  EXPECT_THAT(groups.units.at(kFirst).members.front().indices.front(),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  groups.units.at(kFirst).frozen = true;
  groups.units.at(kSecond).min = 5;
  groups.units.at(kSecond).divisor = 3;
  const ChannelMutator mutator(chain_model(), with_groups({}, groups, chain_model()));
  EXPECT_FALSE(mutator.unit(kFirst).is_mutable());
  EXPECT_EQ(mutator.min_choices(), (Choices{{kSecond, 0.5}}));
  EXPECT_EQ(groups_of(mutator), groups);
  groups.units.at(kSecond).of = 11;
  EXPECT_NE(message_of([&] { with_groups({}, groups, chain_model()); }), "");
}

TEST(ChannelMutator, ScoresForWhatAChannelSaves) {
  ChannelMutator plain(chain_model(), {.normalise = false});
  ChannelMutator macs(chain_model(), {.normalise = false, .per = "macs"});
  ChannelMutator params(chain_model(), {.normalise = false, .per = "params"});
  // A channel of the first unit is written from 3 and read into 12 channels by 3x3 kernels, one of
  // the second is written from 8 by 3x3 kernels and read into 4 channels; 36 positions.
  for (size_t i = 0; i < 8; ++i) {
    const double score = plain.scores()[0][0][i];
    EXPECT_NEAR(macs.scores()[0][0][i], score / (36 * (3 * 9 + 12 * 9)), 1e-12 * score);
    EXPECT_NEAR(params.scores()[0][0][i], score / (3 * 9 + 1 + 12 * 9), 1e-12 * score);
  }
  for (size_t i = 0; i < 12; ++i) {
    const double score = plain.scores()[1][0][i];
    EXPECT_NEAR(macs.scores()[1][0][i], score / (36 * (8 * 9 + 4)), 1e-12 * score);
  }
  MutatorOptions options;
  EXPECT_THAT(
      message_of([&] { read_json(parse_json(R"({"per": "mac"})", "test"), "mutator", options); }),
      HasSubstr("mutator.per"));
}

TEST(ChannelMutator, GivesNewValuesToWhatRuns) {
  ChannelMutator mutator(chain_model());
  mutator.set_choices({{kFirst, 0.5}});
  const at::Tensor x = example(chain(), 3);
  const at::Tensor before = mutator.model().forward(x);
  const at::Tensor old = mutator.dense().find("c.weight")->tensor;
  mutator.set_values({{"c.weight", 2 * old.detach()}});
  EXPECT_LT(error_of(mutator.model().forward(x), 2 * before), 1e-12);
  EXPECT_THAT(mutator.plan().refit, ElementsAre("c.weight"));
  EXPECT_TRUE(mutator.dense().find("c.weight")->tensor.equal(old));
  EXPECT_EQ(mutator.unit(kFirst).activated_channels(), 4);
  EXPECT_THAT(message_of([&] { mutator.set_values({{"d.weight", old}}); }), HasSubstr("d.weight"));
  mutator.set_values({});
  EXPECT_TRUE(mutator.model().forward(x).equal(before));
  EXPECT_TRUE(mutator.plan().refit.empty());
}

TEST(ChannelMutator, AsksForDataWhereAScoreNeedsIt) {
  const Importance importance("mine", score_l1, Needs::kStatistics);
  ChannelMutator mutator(chain_model(), {.importance = importance});
  EXPECT_THAT(message_of([&] { mutator.allocate({.macs = 0.5}); }), HasSubstr("'mine' needs data"));
}

}  // namespace
}  // namespace cpd::testing
