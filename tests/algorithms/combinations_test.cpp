#include <cpd/algorithms/block_pruning.h>
#include <cpd/algorithms/method.h>
#include <cpd/algorithms/pruning_hook.h>
#include <cpd/allocation/proposer.h>
#include <cpd/core/text.h>
#include <cpd/cost/measure.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <support/network.h>
#include <training/fixture.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

/// Rows with one value of each axis, so that any two values of two axes meet in some row.
std::vector<std::vector<size_t>> pairwise(const std::vector<size_t>& sizes) {
  using Pair = std::tuple<size_t, size_t, size_t, size_t>;  // axis, value, later axis, value
  std::set<Pair> open;
  for (size_t a = 0; a < sizes.size(); ++a) {
    for (size_t b = a + 1; b < sizes.size(); ++b) {
      for (size_t i = 0; i < sizes[a]; ++i) {
        for (size_t j = 0; j < sizes[b]; ++j) open.insert({a, i, b, j});
      }
    }
  }
  std::vector<std::vector<size_t>> rows;
  while (!open.empty()) {
    const auto [first, first_value, second, second_value] = *open.begin();
    std::vector<std::optional<size_t>> row(sizes.size());
    row[first] = first_value;
    row[second] = second_value;
    const auto met = [&](size_t axis, size_t value) {
      int64_t count = 0;
      for (size_t other = 0; other < sizes.size(); ++other) {
        if (other == axis || !row[other]) continue;
        count += static_cast<int64_t>(other < axis ? open.count({other, *row[other], axis, value})
                                                   : open.count({axis, value, other, *row[other]}));
      }
      return count;
    };
    for (size_t axis = 0; axis < sizes.size(); ++axis) {
      if (row[axis]) continue;
      size_t best = 0;
      for (size_t value = 1; value < sizes[axis]; ++value) {
        if (met(axis, value) > met(axis, best)) best = value;
      }
      row[axis] = best;
    }
    std::vector<size_t>& made = rows.emplace_back();
    for (const auto& value : row) made.push_back(*value);
    for (size_t a = 0; a < sizes.size(); ++a) {
      for (size_t b = a + 1; b < sizes.size(); ++b) open.erase({a, made[a], b, made[b]});
    }
  }
  return rows;
}

TEST(Pairwise, MeetsAllPairs) {
  std::set<std::tuple<size_t, size_t>> met;
  for (const auto& row : pairwise({3, 2, 4})) met.insert({row[0], row[2]});
  EXPECT_EQ(met.size(), 12u);
  EXPECT_LE(pairwise({3, 2, 4}).size(), 14u);
}

Model small_model() {
  const auto network = std::make_shared<SmallNetwork>(1);
  network->eval();
  return trace_model(network, {torch::rand({2, 1, 8, 8})});
}

/// Whichever unit keeps most channels keeps one less.
Allocation allocate_widest(const AllocationProblem& problem) {
  Widths widths = problem.largest();
  while (!problem.fits(widths)) {
    const auto widest = std::max_element(widths.begin(), widths.end());
    --*widest;
  }
  return filled(problem, widths);
}

struct Objective {
  const char* name;
  Budget budget;
  std::vector<double> thresholds;
};

std::vector<Objective> objectives() {
  Budget both{.macs = 0.7};
  both.params = Amount(0.6);
  return {{"macs", {.macs = 0.6}, {}},
          {"params", {.params = Amount(0.6)}, {}},
          {"memory", {.memory = Amount(0.9)}, {}},
          {"latency", {.latency = Amount(0.95)}, {}},
          {"channels", {.channels = Amount(0.6)}, {}},
          {"ratio", {.ratio = 0.5}, {}},
          {"macs and params", both, {}},
          {"sparsity thresholds", {}, {0.2, 0.4}}};
}

/// Which units are targets.
std::vector<std::pair<const char*, MutatorOptions>> targets() {
  MutatorOptions divided;
  divided.unit.divisor = 2;
  return {{"all channels", {}},
          {"channels of one layer", {.freeze = {"conv2"}}},
          {"pairs of channels", divided}};
}

TEST(Combination, OfTargetMetricAllocationScheduleAndObjectiveRuns) {
  const auto target = targets();
  const std::vector<std::string> metrics{"random", "l1",   "fpgm",       "taylor",
                                         "fisher", "kfac", "activation", "gradient"};
  std::vector<Allocator> allocations = allocators();
  allocations.push_back({"own", allocate_widest});
  std::vector<SparsitySchedule> schedules = sparsity_schedules();
  schedules.push_back({"own", [](double p, double end) { return 1 - (1 - end) * std::sqrt(p); }});
  const auto objective = objectives();
  const auto table = [] {
    ChannelMutator mutator(small_model());
    return std::make_shared<const LatencyTable>(
        measure_latency(mutator.dense(), mutator.combing()));
  }();
  const auto rows = pairwise(
      {target.size(), metrics.size(), allocations.size(), schedules.size(), objective.size(), 2});
  for (const auto& row : rows) {
    MutatorOptions how = target[row[0]].second;
    how.importance = metrics[row[1]];
    how.latency_table = table;
    PruningHookOptions options;
    options.allocation = allocations[row[2]];
    options.schedule = schedules[row[3]];
    options.budget = objective[row[4]].budget;
    options.save_sparsity_thr = objective[row[4]].thresholds;
    options.by = row[5] == 0 ? IntervalUnit::kIteration : IntervalUnit::kEpoch;
    options.interval = 1;
    options.prunings = 2;
    const Folder folder;
    options.work_dir = folder.path();
    SCOPED_TRACE(std::string(target[row[0]].first) + ", " + metrics[row[1]] + ", " +
                 options.allocation.name + ", " + options.schedule.name + ", " +
                 objective[row[4]].name);
    ChannelMutator mutator(small_model(), how);
    try {
      const auto hook = std::make_shared<PruningHook>(mutator, options);
      Loader training = loader_of(24, 1, true, 8);
      train(hook->network(), {training}, {.epochs = 2}, {.hooks = {hook}, .quiet = true});
      EXPECT_TRUE(hook->is_done());
      Budget goal = options.budget;
      if (!options.save_sparsity_thr.empty()) goal.params = Amount(0.6);
      const AllocationProblem problem = mutator.problem(goal);
      Widths widths;
      for (const auto* unit : mutator.mutable_units()) {
        widths.push_back(unit->activated_channels());
      }
      EXPECT_TRUE(problem.fits(widths)) << ::testing::PrintToString(widths);
      if (goal.ratio) {
        EXPECT_LE(widths, ratio_widths(problem.units, *goal.ratio));
      }
    } catch (const Error& error) {
      // What these units cannot reach is said with the nearest that they can.
      EXPECT_THAT(error.what(), HasSubstr("cannot be reached: the nearest is"));
      EXPECT_NE(row[0], 0u) << error.what();
    }
  }
}

TEST(Combination, OfBlocksScoreAndScheduleRuns) {
  const auto target = [](std::vector<int64_t> axes, std::vector<int64_t> sizes) {
    BlockTarget result;
    result.parameters = {"conv2.weight"};
    result.axes = std::move(axes);
    result.sizes = std::move(sizes);
    return result;
  };
  BlockTarget two_of_four = target({}, {});
  two_of_four.keep = 2;
  two_of_four.of = 4;
  const std::vector<std::pair<const char*, BlockTarget>> targets{
      {"elements", target({}, {})},
      {"rows", target({3}, {0})},
      {"kernels", target({2, 3}, {0, 0})},
      {"tiles", target({0, 1}, {4, 2})},
      {"filters", target({1, 2, 3}, {0, 0, 0})},
      {"2:4", two_of_four}};
  const std::vector<std::string> scores{"magnitude", "gradient"};
  const auto schedules = sparsity_schedules();
  for (const auto& row : pairwise({targets.size(), scores.size(), schedules.size()})) {
    BlockPruningOptions options;
    options.targets = {targets[row[0]].second};
    options.score = scores[row[1]];
    options.schedule = schedules[row[2]];
    options.interval = 1;
    options.prunings = 2;
    SCOPED_TRACE(std::string(targets[row[0]].first) + ", " + options.score + ", " +
                 options.schedule.name);
    const auto network = std::make_shared<SmallNetwork>();
    const auto hook = std::make_shared<BlockPruningHook>(options);
    Loader training = loader_of(24, 1, true, 8);
    train(*trainable(network), {training}, {.epochs = 1}, {.hooks = {hook}, .quiet = true});
    const at::Tensor zeros = network->conv2->weight.eq(0);
    EXPECT_EQ(2 * zeros.sum().item<int64_t>(), zeros.numel());
  }
}

TEST(Combination, WithAnObjectiveThatCanOnlyBeTriedRuns) {
  ChannelMutator mutator(small_model());
  const AllocationProblem problem = mutator.problem({});
  Loader validation = loader_of(24, 2, false);
  const auto loss_at = [&](const Widths& widths) {
    Choices choices;
    for (size_t i = 0; i < widths.size(); ++i) choices[problem.units[i].name] = widths[i];
    mutator.set_choices(choices);
    return evaluate(*trainable(mutator.model()), validation, {.quiet = true}).loss;
  };
  const double bound = 1.05 * loss_at(problem.largest());
  UniformProposer uniform(problem, 0.1);
  GreedyProposer greedy(problem, 0.1);
  for (Proposer* proposer : std::vector<Proposer*>{&uniform, &greedy}) {
    const Widths widths = allocate_while(
        problem, *proposer, [&](const Widths& tried) { return loss_at(tried) <= bound; });
    EXPECT_LE(loss_at(widths), bound);
  }
  UniformProposer again(problem);
  EXPECT_THAT(
      message_of([&] { allocate_while(problem, again, [](const Widths&) { return false; }); }),
      HasSubstr("even for the largest"));
}

/// What makes no sense together, and the reason that is given.
struct Senseless {
  const char* config;
  const char* reason;
};

class SenselessCombination : public ::testing::TestWithParam<Senseless> {};

/// Runs whatever a configuration names, without calibration data.
void run_config(const Json& json) {
  Loader training = loader_of(24, 1, true, 8);
  const std::string type = json.value("type", "OneShot");
  if (type == "PruningHook") {
    PruningHookOptions options;
    read_json(json, "", options);
    const auto mutator = make_mutator(small_model(), options);
    const auto hook = std::make_shared<PruningHook>(*mutator, options, "");
    train(hook->network(), {training}, {.epochs = 1}, {.hooks = {hook}, .quiet = true});
  } else if (type == "BlockPruningHook") {
    BlockPruningOptions options;
    read_json(json, "", options);
    const auto hook = std::make_shared<BlockPruningHook>(options, "");
    train(*trainable(std::make_shared<SmallNetwork>()), {training}, {.epochs = 1},
          {.hooks = {hook}, .quiet = true});
  } else {
    const MethodOptions method = read_method(json);
    if (const auto* one_shot = std::get_if<OneShotOptions>(&method)) {
      OneShot(small_model(), *one_shot).run();
    } else {
      Iterative(small_model(), std::get<IterativeOptions>(method)).run({training}, {.quiet = true});
    }
  }
}

TEST_P(SenselessCombination, IsRefusedWithTheReason) {
  const std::string message = message_of([] { run_config(parse_json(GetParam().config, "test")); });
  EXPECT_THAT(message, HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    All, SenselessCombination,
    ::testing::Values(
        Senseless{R"({"mutator": {"importance": "fisher"}, "budget": {"macs": 0.5}})",
                  "needs data"},
        Senseless{R"({"budget": {"macs": 0.5}, "compensation": "refit"})", "needs data"},
        Senseless{R"({"mutator": {"importance": "movement"}, "budget": {"macs": 0.5}})",
                  "is learnt while a network trains"},
        Senseless{R"({"budget": {"macs": 0.5}, "allocation": {"type": "annealing",
                      "on_data": true}})",
                  "needs data"},
        Senseless{R"({"budget": {"macs": 0.5}, "train": {"epochs": 1}})", "no training data"},
        Senseless{R"({"budget": {"macs": 0.5}, "teacher": "dense.pt"})", "nothing that trains"},
        Senseless{R"({"mutator": {"importance": "bn_scale"}, "budget": {"macs": 0.5}})", "conv2"},
        Senseless{R"({"mutator": {"freeze": ["*"]}, "budget": {"macs": 0.5}})",
                  "no channel that can be pruned"},
        Senseless{R"({"type": "Iterative", "interval": 1, "prunings": 2})", "no goal"},
        Senseless{R"({"type": "Iterative", "budget": {"macs": 0.5}, "interval": 9, "prunings": 9,
                      "train": {"epochs": 1}})",
                  "ends at step 3"},
        Senseless{R"({"type": "PruningHook", "budget": {"macs": 0.5}, "work_dir": "w",
                      "save_sparsity_thr": [0.4]})",
                  "two goals"},
        Senseless{R"({"type": "PruningHook", "save_sparsity_thr": [0.4]})", "no folder"},
        Senseless{R"({"type": "BlockPruningHook", "budget": {"macs": 0.5}})", "budget"},
        Senseless{R"({"type": "BlockPruningHook", "allocation": "greedy"})", "allocation"},
        Senseless{R"({"type": "BlockPruningHook", "score": "fisher"})", "no score 'fisher'"},
        Senseless{R"({"type": "BlockPruningHook", "targets": [{"parameters": ["*.bias"]}],
                      "interval": 1, "prunings": 1})",
                  "no parameter or output is meant"},
        Senseless{R"({"type": "BlockPruningHook", "interval": 1, "prunings": 1,
                      "targets": [{"parameters": ["head.weight"], "n_m": "2:4", "along": 0}]})",
                  "cannot be taken 4 blocks at a time"}));

}  // namespace
}  // namespace cpd::testing
