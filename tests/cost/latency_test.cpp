#include <cpd/allocation/allocation.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/random.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/cost/measure.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace cpd {
namespace {

using ::testing::HasSubstr;

std::string documented() {
  const std::string docs = read_file(std::string(CPD_TEST_DATA) + "/../../docs/formats.md");
  const std::string fence = "```json\n";
  const size_t at = docs.find(fence, docs.find("## latency.json")) + fence.size();
  return docs.substr(at, docs.find("```", at) - at);
}

template <typename Run>
std::string message_of(Run run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(OpLatency, LiesOnStraightLinesBetweenPoints) {
  const OpLatency op{"aten::relu", {{100, 1}, {200, 3}, {400, 3}}};
  EXPECT_EQ(op.seconds(50), 1);
  EXPECT_EQ(op.seconds(100), 1);
  EXPECT_EQ(op.seconds(150), 2);
  EXPECT_EQ(op.seconds(300), 3);
  EXPECT_EQ(op.seconds(800), 6);
}

TEST(LatencyTable, OfTheDocumentationIsReadAndWrittenBack) {
  const LatencyTable table = latency_table_from_json(documented());
  EXPECT_EQ(table.ops.size(), 3U);
  EXPECT_EQ(table.ops[0].points[1], (LatencyPoint{2880, 1.5e-05}));
  EXPECT_EQ(latency_table_from_json(to_json(table)), table);
}

TEST(LatencyTable, RefusesPointsOutOfOrder) {
  const auto message = [](auto change) {
    LatencyTable table = latency_table_from_json(documented());
    change(table);
    return message_of([&] { latency_table_from_json(to_json(table)); });
  };
  EXPECT_EQ(message([](LatencyTable&) {}), "no error");
  EXPECT_THAT(message([](LatencyTable& t) { t.ops[1].points.clear(); }), HasSubstr("ops[1]"));
  EXPECT_THAT(message([](LatencyTable& t) { t.ops[2].points[0].work = 1e9; }), HasSubstr("ops[2]"));
  EXPECT_THAT(message([](LatencyTable& t) { t.ops[0].points[2].seconds = 0; }),
              HasSubstr("ops[0]"));
  EXPECT_THAT(message([](LatencyTable& t) { t.threads = 0; }), HasSubstr("threads"));
}

class Measured : public ::testing::Test {
 protected:
  Measured() : model_(traced("resnet20")), combing_(comb(model_)), costs_(model_, combing_) {
    table_ = measure_latency(model_, combing_, {.ratios = {1, 0.5, 0.25}, .repeats = 3});
  }

  static Model traced(const std::string& name) {
    auto network = make_network({name, 10, 3, 32, 32}, 1);
    network->eval();
    return trace_model(network, {torch::randn({2, 3, 32, 32})});
  }

  Model model_;
  Combing combing_;
  CostsByWidth costs_;
  LatencyTable table_;
};

TEST_F(Measured, CoversEveryOp) {
  EXPECT_EQ(table_.ops.size(), model_.graph.ops.size());
  EXPECT_EQ(table_.batch, 2);
  EXPECT_EQ(latency_table_from_json(to_json(table_)), table_);
  double largest = 0;
  for (const auto& op : table_.ops) largest += op.points.back().seconds;
  EXPECT_GT(largest, 0);
  costs_.set_latency_table(table_);
  EXPECT_NEAR(costs_.latency(costs_.dense_widths()), largest, 1e-9);
}

TEST_F(Measured, PredictsNoMoreForNarrowerNetworks) {
  costs_.set_latency_table(table_);
  Random random(3);
  auto widths = costs_.dense_widths();
  double last = costs_.latency(widths);
  const double dense = last;
  for (int step = 0; step < 300; ++step) {
    auto& width = widths[static_cast<size_t>(random.below(static_cast<int64_t>(widths.size())))];
    if (width > 1) --width;
    const double now = costs_.latency(widths);
    ASSERT_LE(now, last);
    last = now;
  }
  EXPECT_LT(last, dense);
  EXPECT_EQ(costs_.latency(costs_.dense_widths()), dense);
}

TEST_F(Measured, KeepsALatencyBudgetOnThePrediction) {
  costs_.set_latency_table(table_);
  AllocationProblem problem;
  for (const auto& group : combing_.groups) {
    AllocationUnit unit;
    unit.name = group.name;
    unit.bounds.of = group.of;
    unit.scores.assign(group.blocks.size(), std::vector<double>(static_cast<size_t>(group.of), 1));
    unit.prepare();
    problem.units.push_back(std::move(unit));
  }
  const auto latency = [&](const Widths& widths) { return costs_.latency(widths); };
  const double budget = (latency(problem.largest()) + latency(problem.smallest())) / 2;
  problem.limits = {{"latency", budget, latency}};
  const auto result = allocate_greedy(problem);
  EXPECT_LE(latency(result.widths), budget);
  EXPECT_GT(result.next, budget);
}

TEST_F(Measured, IsRefusedForAnotherNetwork) {
  const Model other = traced("fashion");
  const Combing combing = comb(other);
  CostsByWidth costs(other, combing);
  EXPECT_THAT(message_of([&] { costs.set_latency_table(table_); }),
              HasSubstr("those of the network"));
  EXPECT_THAT(message_of([&] { costs.latency(costs.dense_widths()); }),
              HasSubstr("there is no latency table"));
}

TEST_F(Measured, TimesTheWholeNetworkToo) {
  const auto compaction = compact(model_, combing_, Keep(combing_), default_rules());
  EXPECT_GT(measure_network(model_, compaction, {.repeats = 3}), 0);
  EXPECT_THAT(message_of([&] { measure_network(model_, compaction, {.repeats = 0}); }),
              HasSubstr("repeats"));
  EXPECT_THAT(message_of([&] { measure_latency(model_, combing_, {.ratios = {1.5}}); }),
              HasSubstr("ratios"));
}

}  // namespace
}  // namespace cpd
