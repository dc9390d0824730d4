#include <cpd/allocation/allocation.h>
#include <cpd/allocation/annealing.h>
#include <cpd/allocation/dynamic_programme.h>
#include <cpd/allocation/proposer.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace cpd {
namespace {

using ::testing::HasSubstr;

AllocationUnit unit_of(const std::string& name, std::vector<std::vector<double>> scores) {
  AllocationUnit unit;
  unit.name = name;
  unit.scores = std::move(scores);
  unit.bounds.of = static_cast<int64_t>(unit.scores.front().size());
  unit.prepare();
  return unit;
}

AllocationUnit random_unit(const std::string& name, Random& random, int64_t most) {
  const int64_t of = 1 + random.below(most);
  const int64_t blocks = 1 + random.below(3);
  std::vector<std::vector<double>> scores(static_cast<size_t>(blocks));
  for (auto& block : scores) {
    for (int64_t i = 0; i < of; ++i) block.push_back(std::exp(4 * random.uniform() - 2));
  }
  AllocationUnit unit = unit_of(name, std::move(scores));
  unit.bounds.min = 1 + random.below(std::max<int64_t>(1, of / 3));
  unit.bounds.divisor = int64_t{1} << random.below(4);
  unit.bounds.width = blocks;
  unit.family = random.below(2) == 0 ? "" : "family";
  // Frozen, as a mutator says it: nothing but all of its channels.
  if (random.below(6) == 0) unit.bounds.min = of;
  return unit;
}

/// Layers in a row: each costs its input times its output width, as convolutions do.
double chain_cost(const Widths& widths, const std::vector<double>& weights) {
  double total = 0, input = 3;
  for (size_t i = 0; i < widths.size(); ++i) {
    const auto output = static_cast<double>(widths[i]);
    total += weights[i] * input * output;
    input = output;
  }
  return total + 10 * input;
}

double sum_cost(const Widths& widths, const std::vector<double>& weights) {
  double total = 0;
  for (size_t i = 0; i < widths.size(); ++i) total += weights[i] * static_cast<double>(widths[i]);
  return total;
}

AllocationProblem random_problem(uint64_t seed, int64_t most_units, int64_t most_channels,
                                 bool additive) {
  Random random(seed);
  AllocationProblem problem;
  std::vector<double> weights;
  const int64_t units = 1 + random.below(most_units);
  for (int64_t i = 0; i < units; ++i) {
    problem.units.push_back(random_unit("unit" + std::to_string(i), random, most_channels));
    weights.push_back(static_cast<double>(1 + random.below(9)));
  }
  const auto cost = [weights, additive](const Widths& widths) {
    return additive ? sum_cost(widths, weights) : chain_cost(widths, weights);
  };
  const auto between = [&](const std::function<double(const Widths&)>& of) {
    const double low = of(problem.smallest()), high = of(problem.largest());
    return std::floor(low + random.uniform() * (high - low));
  };
  problem.limits.push_back({"macs", between(cost), cost});
  if (!additive && random.below(2) == 0) {
    const std::vector<double> ones(weights.size(), 1.0);
    const auto channels = [ones](const Widths& widths) { return sum_cost(widths, ones); };
    problem.limits.push_back({"channels", between(channels), channels});
  }
  return problem;
}

bool allowed(const AllocationProblem& problem, const Widths& widths) {
  for (size_t i = 0; i < widths.size(); ++i) {
    if (!problem.units[i].bounds.allows(widths[i])) return false;
  }
  return widths.size() == problem.units.size();
}

/// Is there a single step that still fits?
bool room_left(const AllocationProblem& problem, const Widths& widths) {
  for (size_t i = 0; i < widths.size(); ++i) {
    const auto next = problem.units[i].bounds.above(widths[i]);
    if (!next) continue;
    Widths wider = widths;
    wider[i] = *next;
    if (problem.fits(wider)) return true;
  }
  return false;
}

class EveryAllocator : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryAllocator, NeverExceedsABudgetAndLeavesNoStepUnused) {
  const auto allocator = find_allocator(GetParam());
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const auto problem = random_problem(seed, 6, 24, seed % 2 == 0);
    const auto result = allocator.allocate(problem);
    ASSERT_TRUE(allowed(problem, result.widths)) << seed;
    ASSERT_TRUE(problem.fits(result.widths)) << seed;
    ASSERT_FALSE(room_left(problem, result.widths)) << seed;
    if (result.stopped_by.empty()) {
      EXPECT_EQ(result.widths, problem.largest()) << seed;
      continue;
    }
    for (const auto& limit : problem.limits) {
      if (limit.name != result.stopped_by) continue;
      EXPECT_EQ(result.used, limit.cost(result.widths));
      EXPECT_GT(result.next, limit.limit) << "the next step is larger than the rest";
    }
  }
}

TEST_P(EveryAllocator, GivesTheSameWidthsTwice) {
  const auto allocator = find_allocator(GetParam());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto problem = random_problem(seed, 6, 24, false);
    EXPECT_EQ(allocator.allocate(problem).widths, allocator.allocate(problem).widths);
  }
}

TEST_P(EveryAllocator, KeepsEverythingWithRoomEnough) {
  const auto allocator = find_allocator(GetParam());
  auto problem = random_problem(3, 6, 24, false);
  for (auto& limit : problem.limits) limit.limit = limit.cost(problem.largest());
  const auto result = allocator.allocate(problem);
  EXPECT_EQ(result.widths, problem.largest());
  EXPECT_EQ(result.stopped_by, "");
}

TEST_P(EveryAllocator, TakesTheSmallestWhereNothingElseFits) {
  const auto allocator = find_allocator(GetParam());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    auto problem = random_problem(seed, 6, 24, false);
    for (auto& limit : problem.limits) limit.limit = limit.cost(problem.smallest());
    EXPECT_EQ(allocator.allocate(problem).widths, problem.smallest());
  }
}

TEST_P(EveryAllocator, SaysTheNearestBudgetThatCanBeReached) {
  const auto allocator = find_allocator(GetParam());
  AllocationProblem problem;
  problem.units = {unit_of("a", {{1, 2, 3, 4}})};
  problem.units[0].bounds.min = 2;
  problem.limits = {{"macs", 150, [](const Widths& w) { return 100.0 * double(w[0]); }}};
  try {
    allocator.allocate(problem);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("a budget of 150 macs cannot be reached: the nearest is 200;"));
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryAllocator,
                         ::testing::Values("uniform", "global", "isomorphic", "greedy",
                                           "dynamic_programme", "annealing"),
                         [](const auto& test) { return test.param; });

TEST(Allocators, AreFoundByName) {
  EXPECT_EQ(allocators().size(), 6U);
  try {
    find_allocator("gredy");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'greedy'?"));
    EXPECT_THAT(error.what(), HasSubstr("uniform, global"));
  }
}

TEST(Ratio, IsARulePerUnit) {
  const std::vector<AllocationUnit> units = {unit_of("a", {{1, 2, 3, 4, 5, 6, 7}}),
                                             unit_of("b", {{1, 2}}), unit_of("c", {{1}})};
  EXPECT_EQ(ratio_widths(units, 0.5), (Widths{3, 1, 1}));
  EXPECT_EQ(ratio_widths(units, 1), (Widths{7, 2, 1}));
  EXPECT_THROW(ratio_widths(units, 0), Error);
}

TEST(Losses, AreSumsOfTheLowestScoresOfEachBlock) {
  const auto unit = unit_of("a", {{5, 1, 3}, {2, 4, 6}});
  EXPECT_EQ(unit.loss(3), 0);
  EXPECT_EQ(unit.loss(2), 1 + 2);
  EXPECT_EQ(unit.loss(1), 1 + 3 + 2 + 4);
}

TEST(Losses, MayBeATableOfErrors) {
  auto unit = unit_of("a", {{5, 1, 3}});
  unit.set_losses({0, 0.5, 4});
  EXPECT_EQ(unit.loss(2), 0.5);
  EXPECT_EQ(unit.loss(1), 4);
  EXPECT_THROW(unit.set_losses({0, 1}), Error);
}

TEST(Problems, ThatMakeNoSenseNameTheUnit) {
  const auto message = [](auto change) -> std::string {
    AllocationProblem problem;
    problem.units = {unit_of("some_unit", {{1, 2, 3}})};
    change(problem.units[0]);
    try {
      problem.verify();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([](AllocationUnit&) {}), "no error");
  EXPECT_THAT(message([](AllocationUnit& u) { u.scores[0][1] = NAN; }), HasSubstr("some_unit"));
  EXPECT_THAT(message([](AllocationUnit& u) { u.scores[0].pop_back(); }), HasSubstr("2 scores"));
  EXPECT_THAT(message([](AllocationUnit& u) { u.bounds.min = 4; }), HasSubstr("some_unit"));
  EXPECT_THAT(message([](AllocationUnit& u) {
                AllocationUnit fresh;
                fresh.name = u.name;
                fresh.bounds = u.bounds;
                fresh.scores = u.scores;
                u = fresh;
              }),
              HasSubstr("prepare()"));
}

TEST(Problems, WithABudgetThatIsNoNumberAreRefused) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {{1, 2, 3}})};
  problem.limits = {{"macs", NAN, [](const Widths& w) { return double(w[0]); }}};
  EXPECT_THROW(problem.verify(), Error);
}

TEST(Global, RemovesTheLowestScoresAnywhere) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {{0.1, 0.2, 9, 9}}), unit_of("b", {{0.3, 5, 6, 7}})};
  problem.limits = {{"channels", 5, [](const Widths& w) { return double(w[0] + w[1]); }}};
  EXPECT_EQ(allocate_global(problem).widths, (Widths{2, 3}));
}

TEST(Global, LeavesOneChannelAtLeast) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {{0.1, 0.1, 0.1, 0.1}}), unit_of("b", {{5, 5, 6, 7}})};
  problem.limits = {{"channels", 4, [](const Widths& w) { return double(w[0] + w[1]); }}};
  EXPECT_EQ(allocate_global(problem).widths, (Widths{1, 3}));
}

TEST(Floor, KeepsALayerOfLowScores) {
  AllocationProblem problem;
  std::vector<double> low, high;
  for (int i = 0; i < 20; ++i) {
    low.push_back(0.1 + 0.001 * i);
    high.push_back(5 + 0.001 * i);
  }
  problem.units = {unit_of("a", {low}), unit_of("b", {high}), unit_of("block", {{1}})};
  problem.units.back().bounds.min = 0;
  const auto limit_to = [&](double channels) {
    problem.limits = {{"channels", channels, [](const Widths& w) { return double(w[0] + w[1]); }}};
  };
  const auto least_with = [&](double channels) {
    limit_to(channels);
    AllocationProblem floored = problem;
    keep_from_collapse(floored, 0.2);
    return floored.smallest();
  };
  EXPECT_EQ(least_with(20), (Widths{4, 4, 0}));
  EXPECT_EQ(least_with(7), (Widths{2, 2, 0}));  // half of it
  EXPECT_EQ(least_with(2), (Widths{1, 1, 0}));
  EXPECT_EQ(least_with(1), (Widths{1, 1, 0}));  // cannot be met: the allocation says so

  limit_to(20);
  EXPECT_EQ(allocate_global(problem).widths, (Widths{1, 19, 1}));
  keep_from_collapse(problem, 0.2);
  EXPECT_EQ(allocate_global(problem).widths, (Widths{4, 16, 1}));
}

TEST(Floor, IsNoLessThanThePartOfFewChannels) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {std::vector<double>(16, 1)}), unit_of("b", {{1, 2, 3, 4}})};
  keep_from_collapse(problem, 0.1);
  EXPECT_EQ(problem.smallest(), (Widths{2, 1}));
}

TEST(Floor, StaysBelowBoundsOfOnesOwn) {
  AllocationProblem problem;
  const std::vector<double> scores(20, 1);
  problem.units = {unit_of("a", {scores}), unit_of("b", {scores})};
  problem.units[0].bounds.min = 7;
  problem.units[1].bounds.max = 3;
  keep_from_collapse(problem, 0.25);
  EXPECT_EQ(problem.smallest(), (Widths{7, 3}));
  EXPECT_EQ(problem.largest(), (Widths{20, 3}));
}

TEST(Isomorphic, RanksWithinFamilies) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {{1, 2, 8, 9}}), unit_of("b", {{3, 10, 11, 12}}),
                   unit_of("c", {{100, 200, 300, 400}})};
  problem.units[0].family = problem.units[1].family = "inner";
  problem.limits = {{"channels", 8, [](const Widths& w) { return double(w[0] + w[1] + w[2]); }}};
  const Widths widths = allocate_isomorphic(problem).widths;
  EXPECT_EQ(widths, (Widths{2, 3, 3}));
  EXPECT_EQ(allocate_global(problem).widths, (Widths{1, 3, 4}));
}

TEST(Greedy, WeighsScoresWithCosts) {
  AllocationProblem problem;
  problem.units = {unit_of("cheap", {{1, 1, 1, 1}}), unit_of("dear", {{2, 2, 2, 2}})};
  problem.limits = {{"macs", 30, [](const Widths& w) { return double(w[0]) + 10 * double(w[1]); }}};
  EXPECT_EQ(allocate_greedy(problem).widths, (Widths{4, 2}));
}

TEST(Uniform, FindsACommonRatio) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {{1, 2, 3, 4, 5, 6, 7, 8}}), unit_of("b", {{9, 9, 9, 9}})};
  problem.limits = {{"channels", 6, [](const Widths& w) { return double(w[0] + w[1]); }}};
  EXPECT_EQ(allocate_uniform(problem).widths, (Widths{4, 2}));
}

/// The least loss of all widths that fit.
double brute_force(const AllocationProblem& problem, Widths& widths, size_t unit = 0) {
  if (unit == problem.units.size()) return problem.fits(widths) ? problem.loss(widths) : INFINITY;
  double least = INFINITY;
  for (int64_t k = 1; k <= problem.units[unit].bounds.of; ++k) {
    if (!problem.units[unit].bounds.allows(k)) continue;
    widths[unit] = k;
    least = std::min(least, brute_force(problem, widths, unit + 1));
  }
  return least;
}

TEST(DynamicProgramme, EqualsBruteForceWhereCostsAddUp) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const auto problem = random_problem(seed, 4, 9, true);
    Widths widths = problem.smallest();
    const double least = brute_force(problem, widths);
    EXPECT_NEAR(problem.loss(allocate_dynamic_programme(problem).widths), least, 1e-9 * (1 + least))
        << seed;
  }
}

TEST(DynamicProgramme, IsNoWorseThanGreedy) {
  bool better = false;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const auto problem = random_problem(seed, 6, 100, seed % 3 == 0);
    const double exact = problem.loss(allocate_dynamic_programme(problem).widths);
    const double greedy = problem.loss(allocate_greedy(problem).widths);
    EXPECT_LE(exact, greedy);
    better = better || exact < greedy * 0.999;
  }
  EXPECT_TRUE(better);
}

TEST(DynamicProgramme, KeepsTheLimitWithFewStates) {
  Random random(5);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<std::vector<WidthOption>> units(8);
    for (auto& options : units) {
      for (int64_t k = 1; k <= 12; ++k) {
        options.push_back({k, static_cast<double>(k) * (1 + random.uniform()),
                           static_cast<double>(12 - k) * random.uniform()});
      }
    }
    const auto total = [&](const Widths& widths, auto member) {
      double sum = 0;
      for (size_t i = 0; i < units.size(); ++i) {
        sum += units[i][static_cast<size_t>(widths[i] - 1)].*member;
      }
      return sum;
    };
    const Widths exact = cheapest_combination(units, 60, 1 << 20);
    const Widths thinned = cheapest_combination(units, 60, 50);
    EXPECT_LE(total(exact, &WidthOption::cost), 60 + 1e-9);
    EXPECT_LE(total(thinned, &WidthOption::cost), 60 + 1e-9);
    EXPECT_LE(total(exact, &WidthOption::loss), total(thinned, &WidthOption::loss) + 1e-9);
    EXPECT_LT(total(thinned, &WidthOption::loss), total(exact, &WidthOption::loss) * 1.2 + 0.5);
    EXPECT_TRUE(cheapest_combination(units, 1).empty());
  }
}

TEST(Annealing, MakesAnObjectiveOfOnesOwnSmall) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {std::vector<double>(16, 1.0)}),
                   unit_of("b", {std::vector<double>(16, 1.0)})};
  problem.limits = {{"channels", 16, [](const Widths& w) { return double(w[0] + w[1]); }}};
  AnnealingOptions options;
  options.seed = 7;
  options.objective = [](const Widths& w) { return std::fabs(double(w[0]) - 5) + 1; };
  EXPECT_EQ(allocate_annealing(problem, options).widths, (Widths{5, 11}));
  EXPECT_EQ(allocate_annealing(problem, options).widths,
            allocate_annealing(problem, options).widths);
}

TEST(Annealing, RefusesImpossibleOptions) {
  const auto problem = random_problem(1, 3, 8, true);
  EXPECT_THROW(allocate_annealing(problem, {.steps = 0}), Error);
  EXPECT_THROW(allocate_annealing(problem, {.start = 1e-5, .end = 1e-4}), Error);
}

template <typename P>
void expect_proposals_shrink() {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    auto problem = random_problem(seed, 6, 24, false);
    if (seed % 2 == 0) problem.limits.clear();
    P proposer(problem);
    Widths last = problem.largest();
    while (const auto widths = proposer.try_more()) {
      ASSERT_TRUE(allowed(problem, *widths));
      ASSERT_NE(*widths, last);
      for (size_t i = 0; i < last.size(); ++i) ASSERT_LE((*widths)[i], last[i]);
      last = *widths;
    }
    EXPECT_EQ(last, problem.smallest()) << seed;
  }
}

TEST(Proposers, GoFromTheLargestToTheSmallestWidths) {
  expect_proposals_shrink<UniformProposer>();
  expect_proposals_shrink<GreedyProposer>();
}

TEST(Proposers, AreAskedUntilTheObjectiveIsAchieved) {
  AllocationProblem problem;
  problem.units = {unit_of("a", {{1, 2, 3, 4, 5, 6, 7, 8}}), unit_of("b", {{9, 10, 11, 12}})};
  int evaluations = 0;
  const auto achieved = [&](const Widths& widths) {
    ++evaluations;
    return widths[0] * widths[1] <= 16;
  };
  GreedyProposer greedy(problem);
  EXPECT_EQ(allocate_until(problem, greedy, achieved), (Widths{4, 4}));
  EXPECT_EQ(evaluations, 5);
  UniformProposer uniform(problem);
  EXPECT_EQ(allocate_until(problem, uniform, achieved), (Widths{5, 2}));
  UniformProposer again(problem);
  EXPECT_THROW(allocate_until(problem, again, [](const Widths&) { return false; }), Error);
  EXPECT_THROW(UniformProposer(problem, 0), Error);
  EXPECT_THROW(GreedyProposer(problem, 1), Error);
}

}  // namespace
}  // namespace cpd
