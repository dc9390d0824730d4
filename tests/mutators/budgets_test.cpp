#include <cpd/core/random.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/mutators/channel_mutator.h>
#include <cpd/zoo/network.h>
#include <gtest/gtest.h>
#include <support/small_spec.h>

namespace cpd::testing {
namespace {

Model model_of(const std::string& name) {
  const NetworkSpec spec = small_spec(name);
  auto network = make_network(spec, 1);
  network->eval();
  const auto forward = [&](const std::vector<at::Tensor>& inputs) {
    return network->outputs(inputs.front());
  };
  return trace_model(*network, forward,
                     {random_input(input({2, spec.channels, spec.height, spec.width}), 0)});
}

/// Up to 30 % of an op's work take as long as nothing, the rest its share.
LatencyTable made_up_latencies(const Model& model) {
  LatencyTable table;
  table.machine = "none";
  table.batch = 2;
  for (const Op& op : model.graph.ops) {
    const double work =
        std::max(1.0, op_work(op, [&](ValueId value) { return model.graph.value(value).shape; }));
    table.ops.push_back({op.kind, {{0.3 * work, 1e-9 * work}, {work, 4e-9 * work}}});
  }
  return table;
}

using CostAt = std::function<double(const Widths&)>;

std::map<std::string, CostAt> costs_of(CostsByWidth& costs) {
  return {{"macs", [&](const Widths& w) { return static_cast<double>(costs.macs(w)); }},
          {"params", [&](const Widths& w) { return static_cast<double>(costs.parameters(w)); }},
          {"memory", [&](const Widths& w) { return static_cast<double>(costs.memory(w, 4)); }},
          {"channels", [&](const Widths& w) { return static_cast<double>(costs.channels(w)); }},
          {"latency", [&](const Widths& w) { return costs.latency(w); }}};
}

Widths widths_of(const ChannelMutator& mutator) {
  Widths widths;
  for (const auto& unit : mutator.units()) widths.push_back(unit->activated_channels());
  return widths;
}

/// A random fraction of the dense cost that can be reached.
double reachable(const ChannelMutator& mutator, const CostAt& cost, Random& random) {
  Widths smallest;
  for (const auto& unit : mutator.units()) {
    smallest.push_back(unit->is_mutable() ? unit->bounds().smallest() : unit->num_channels());
  }
  const double part = cost(smallest) / cost(widths_of(mutator));
  return part + (1 - part) * (0.05 + 0.9 * random.uniform());
}

class ZooBudgets : public ::testing::TestWithParam<std::string> {};

/// With budgets of every kind and any allocation: no cost above what was asked, and no step of any
/// unit left that would still fit.
TEST_P(ZooBudgets, MeetsRandomBudgetsOfEveryKindAndUsesThem) {
  const auto model = std::make_shared<const Model>(model_of(GetParam()));
  const auto latencies = std::make_shared<const LatencyTable>(made_up_latencies(*model));
  Random random(mix(7, GetParam().size(), static_cast<uint64_t>(GetParam().back())));
  for (const int64_t divisor : {1, 4}) {
    MutatorOptions options{.importance = "l2", .unit = {.divisor = divisor}};
    options.latency_table = latencies;
    ChannelMutator mutator(model, options);
    const Widths dense = widths_of(mutator);
    CostsByWidth costs(mutator.dense(), mutator.combing());
    costs.set_latency_table(*latencies);
    for (const auto& [name, cost] : costs_of(costs)) {
      for (const auto& unit : mutator.units()) {
        if (unit->is_mutable()) mutator.set_choices({{unit->name(), unit->max_choice()}});
      }
      const double part = reachable(mutator, cost, random);
      Budget budget{.batch = 4};
      (name == "macs"      ? budget.macs
       : name == "params"  ? budget.params
       : name == "memory"  ? budget.memory
       : name == "latency" ? budget.latency
                           : budget.channels) = Amount(part);
      const std::vector<std::string> allocations{"uniform", "global", "isomorphic", "greedy"};
      const std::string& allocation = allocations[static_cast<size_t>(random.below(4))];
      mutator.allocate(budget, allocation);
      const std::string what = name + " " + std::to_string(part) + " " + allocation;
      const double limit = part * cost(dense);
      Widths widths = widths_of(mutator);
      EXPECT_LE(cost(widths), limit * (1 + 1e-12)) << what;
      EXPECT_EQ(mutator.cost().macs, costs.macs(widths));
      EXPECT_EQ(mutator.cost().parameters, costs.parameters(widths));
      for (size_t u = 0; u < widths.size(); ++u) {
        const auto& unit = *mutator.units()[u];
        if (!unit.is_mutable()) continue;
        const int64_t width = widths[u];
        EXPECT_TRUE(unit.bounds().allows(width)) << what;
        const auto next = unit.bounds().above(width);
        if (!next) continue;
        widths[u] = *next;
        EXPECT_GT(cost(widths), limit) << what << " leaves a step of " << unit.name();
        widths[u] = width;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ZooBudgets, ::testing::ValuesIn(network_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace cpd::testing
