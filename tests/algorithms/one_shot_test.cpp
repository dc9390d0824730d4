#include <cpd/algorithms/one_shot.h>
#include <cpd/core/error.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

namespace cpd::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

Model resnet() {
  auto network = make_network(parse_network("zoo:resnet20"), 1);
  randomise_statistics(*network, 2);
  network->eval();
  return trace_model(network, {random_input(input({2, 3, 32, 32}), 3)});
}

TEST(OneShot, ReportsWhatWasAskedAndReached) {
  OneShot algorithm(resnet(), {.mutator = {.importance = "bn_scale"}, .budget = {.macs = 0.5}});
  const Report report = algorithm.run();
  EXPECT_EQ(report.algorithm, "OneShot");
  EXPECT_EQ(report.importance, "bn_scale");
  EXPECT_EQ(report.allocation, "global");
  const ReportBudget& budget = report.budgets.at("macs");
  EXPECT_LE(budget.reached, budget.limit);
  EXPECT_EQ(budget.limit, 0.5 * budget.dense);
  EXPECT_GE(budget.reached, 0.97 * budget.limit);
  EXPECT_EQ(report.stopped_by, "macs");
  EXPECT_GT(budget.next, budget.limit);
  EXPECT_EQ(report.units.size(), algorithm.mutator().units().size());
  EXPECT_EQ(report.after.macs, algorithm.mutator().cost().macs);
  EXPECT_EQ(report_from_json(to_json(report)), report);
}

TEST(OneShot, ReportsWhereTheBudgetWent) {
  OneShot algorithm(resnet(), {.mutator = {.importance = "l2"}, .budget = {.macs = 0.5}});
  const Report report = algorithm.run();
  ChannelMutator& mutator = algorithm.mutator();
  double lost = 0;
  for (size_t u = 0; u < mutator.units().size(); ++u) {
    const auto& unit = *mutator.units()[u];
    const ReportUnit& entry = report.units.at(unit.name());
    std::vector<double> scores = mutator.scores()[u].front();
    std::sort(scores.begin(), scores.end());
    EXPECT_NEAR(entry.score, std::accumulate(scores.begin(), scores.end(), 0.0), 1e-9);
    EXPECT_NEAR(entry.score_lost,
                std::accumulate(scores.begin(), scores.begin() + (entry.of - entry.kept), 0.0),
                1e-9);
    Keep keep = mutator.keep();
    for (const auto primitive : unit.group().blocks.front()) keep.set(primitive, true);
    const Cost cost = mutator.costs().of(keep);
    EXPECT_EQ(entry.macs_saved, cost.macs - report.after.macs) << unit.name();
    EXPECT_EQ(entry.parameters_saved, cost.parameters - report.after.parameters) << unit.name();
    lost += entry.score_lost;
  }
  EXPECT_GT(lost, 0);
  EXPECT_THAT(to_text(report), HasSubstr("lost most"));
}

TEST(OneShot, GivesTheSamePlanForTheSameSeed) {
  const auto plan_for = [](uint64_t seed) {
    OneShot algorithm(resnet(), {.mutator = {.importance = "random", .seed = seed},
                                 .allocation = "uniform",
                                 .budget = {.macs = 0.5}});
    algorithm.run();
    return algorithm.mutator().plan();
  };
  EXPECT_EQ(plan_for(7), plan_for(7));
  EXPECT_NE(plan_for(7), plan_for(8));
}

TEST(OneShot, ReadsItsConfiguration) {
  const auto options_of = [](const std::string& text) {
    OneShotOptions options;
    read_json(parse_json(text, "test"), "", options);
    return options;
  };
  const OneShotOptions options = options_of(
      R"({"type": "OneShot", "mutator": {"type": "ChannelMutator", "importance": "l2",
          "unit": {"choice_mode": "ratio", "divisor": 4}}, "allocation": "greedy",
          "budget": {"flops": 0.5, "params": "100k"}, "compensation": "recalibrate"})");
  EXPECT_EQ(options.mutator.importance.name, "l2");
  EXPECT_EQ(options.mutator.unit.divisor, 4);
  EXPECT_EQ(options.allocation.name, "greedy");
  EXPECT_EQ(options.compensation.type, CompensationType::kRecalibrate);
  EXPECT_EQ(options.budget.macs, Amount(0.5));
  EXPECT_EQ(options.budget.params, Amount(1e5));
  const auto error = [&](const std::string& text) -> std::string {
    try {
      options_of(text);
    } catch (const Error& caught) {
      return caught.what();
    }
    return "";
  };
  EXPECT_THAT(error(R"({"type": "TwoShot"})"), HasSubstr("OneShot"));
  EXPECT_THAT(error(R"({"mutator": {"unit": {"divisor": "x"}}})"),
              HasSubstr("mutator.unit.divisor"));
  EXPECT_THAT(error(R"({"alocation": "greedy"})"), HasSubstr("alocation"));
  EXPECT_THAT(error(R"({"allocation": "greed"})"), HasSubstr("greedy"));
  EXPECT_THAT(error(R"({"budget": {"macs": -1}})"), HasSubstr("budget.macs"));
}

TEST(OneShot, ScoresWithData) {
  for (const char* importance : {"fisher", "taylor", "activation", "variance", "apoz"}) {
    OneShot algorithm(resnet(), {.mutator = {.importance = importance}, .budget = {.macs = 0.5}});
    try {
      algorithm.run();
      FAIL() << importance << " was computed without data";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("needs data"));
    }
    const at::Tensor images = random_input(input({8, 3, 32, 32}), 4);
    const Report report = algorithm.run({{{images}}});
    EXPECT_EQ(report.importance, importance);
    EXPECT_LE(2 * report.after.macs, report.before.macs) << importance;
  }
}

CalibrationData images(int64_t count) { return {{{random_input(input({count, 3, 32, 32}), 4)}}}; }

TEST(OneShot, CompensatesAndExportsWhatItCompensated) {
  const CompensationOptions refit{.type = CompensationType::kRefit, .positions = 4000};
  OneShot algorithm(resnet(), {.mutator = {.importance = "l2"},
                               .allocation = "uniform",
                               .budget = {.macs = 0.5},
                               .compensation = refit});
  try {
    algorithm.run();
    FAIL() << "compensated without data";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("compensation 'refit' needs data"));
  }
  algorithm.run(images(16));
  ChannelMutator& mutator = algorithm.mutator();
  const Plan plan = mutator.plan();
  EXPECT_THAT(plan.refit, Contains("layer1.0.conv2.weight"));

  const auto path = std::filesystem::path(::testing::TempDir()) / "one_shot_refit.pt";
  export_torchscript(mutator, path.string(), {.force = true});
  const auto verification = verify_export(mutator.dense(), mutator.combing(), path.string(), plan);
  EXPECT_TRUE(verification.ok()) << verification.text();
  Plan without = plan;
  without.refit.clear();
  EXPECT_FALSE(verify_export(mutator.dense(), mutator.combing(), path.string(), without).ok());

  const at::Tensor x = random_input(input({3, 3, 32, 32}), 9);
  auto file = torch::jit::load(path.string());
  const at::Tensor expected = file.forward({x}).toTensor();
  const at::Tensor masked = mutator.model().forward(x);
  EXPECT_LT((masked - expected).abs().max().item<double>(),
            1e-5 * expected.abs().max().item<double>());
  std::filesystem::remove(path);

  // The plan alone gives sliced weights, and says so.
  ChannelMutator again(resnet());
  again.set_plan(plan);
  EXPECT_TRUE(again.plan().refit.empty());
  mutator.set_values({});
  EXPECT_TRUE(mutator.plan().refit.empty());
}

TEST(OneShot, AnnealsOnData) {
  OneShotOptions options;
  read_json(parse_json(R"({"mutator": {"importance": "l2"}, "budget": {"macs": 0.6},
                           "allocation": {"type": "annealing", "steps": 3, "on_data": true},
                           "compensation": "bias"})",
                       "test"),
            "", options);
  EXPECT_TRUE(options.anneals_on_data);
  EXPECT_EQ(options.annealing.steps, 3);
  EXPECT_TRUE(needs_data(options));
  const Json json = options;
  OneShotOptions again;
  read_json(json, "", again);
  EXPECT_EQ(Json(again), json);
  OneShot algorithm(resnet(), options);
  const Report report = algorithm.run(images(16));
  EXPECT_LE(report.budgets.at("macs").reached, report.budgets.at("macs").limit);
  EXPECT_FALSE(algorithm.mutator().plan().refit.empty());
}

TEST(OneShot, KnowsWhetherItNeedsData) {
  EXPECT_FALSE(needs_data({}));
  EXPECT_TRUE(needs_data(one_shot_with_data()));
  EXPECT_TRUE(needs_data({.mutator = {.importance = "fisher"}}));
}

TEST(OneShot, KeepsALatencyOfATable) {
  LatencyTable table;
  const Model model = resnet();
  for (const Op& op : model.graph.ops) {
    const auto shape = [&](ValueId value) { return model.graph.value(value).shape; };
    const double work = op_work(op, shape);
    table.ops.push_back({op.kind, {{0.01 * work, 1e-9 * work}, {work, 1e-7 * work}}});
  }
  OneShot algorithm(model, {.mutator = {.latency_table = std::make_shared<LatencyTable>(table)},
                            .allocation = "uniform",
                            .budget = {.latency = 0.6}});
  const Report report = algorithm.run();
  const ReportBudget& budget = report.budgets.at("latency");
  EXPECT_EQ(budget.asked, "0.6");
  EXPECT_LE(budget.reached, budget.limit);
  EXPECT_GE(budget.reached, 0.97 * budget.limit);
  EXPECT_EQ(budget.reached, algorithm.mutator().predicted_latency());
}

TEST(OneShot, PrintsArchitectureAndMutator) {
  const OneShot algorithm(resnet());
  const std::string text = algorithm.text();
  EXPECT_THAT(text, HasSubstr("OneShot(\n  (architecture): Model(\n"));
  EXPECT_THAT(text, HasSubstr("\n  (mutator): ChannelMutator(\n    ("));
  EXPECT_THAT(text, HasSubstr("DynamicConv2d("));
}

}  // namespace
}  // namespace cpd::testing
