#include <cpd/algorithms/step_budget.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <map>

namespace cpd {
namespace {

/// Costs of the dense network by the names of the limits.
std::map<std::string, double> dense_costs(const Budget& budget, ChannelMutator& mutator) {
  const AllocationProblem problem = mutator.problem(budget);
  Widths widths;
  for (const auto& unit : problem.units) widths.push_back(unit.bounds.of);
  std::map<std::string, double> costs;
  for (const auto& limit : problem.limits) costs[limit.name] = limit.cost(widths);
  return costs;
}

}  // namespace

Budget step_budget(const Budget& budget, double progress, const SparsitySchedule& schedule,
                   ChannelMutator& mutator) {
  if (progress >= 1) return budget;
  const auto costs = dense_costs(budget, mutator);
  const auto kept = [&](double end) {
    const double keep = schedule.keep(progress, std::min(end, 1.0));
    if (keep > 0 && keep <= 1) return keep;
    throw Error("the schedule '" + schedule.name + "' keeps " + std::to_string(keep), {},
                "a fraction above 0 and up to 1");
  };
  Budget step = budget;
  const auto move = [&](std::optional<Amount>& amount, const std::string& name) {
    if (!amount) return;
    const double dense = costs.at(name);
    amount = Amount(kept(amount->absolute(dense) / dense), true);
  };
  move(step.macs, "macs");
  move(step.params, "parameters");
  move(step.memory, "memory");
  move(step.latency, "latency");
  move(step.channels, "channels");
  if (step.ratio) step.ratio = kept(*step.ratio);
  return step;
}

Allocator narrowing(const Allocator& allocator, const ChannelMutator& mutator) {
  std::map<std::string, int64_t> widths;
  for (const auto* unit : mutator.mutable_units()) {
    widths[unit->name()] = unit->activated_channels();
  }
  return {allocator.name, [inner = allocator.allocate, widths](const AllocationProblem& problem) {
            AllocationProblem narrowed = problem;
            for (auto& unit : narrowed.units) {
              unit.bounds.max = std::min(unit.bounds.largest(), widths.at(unit.name));
            }
            return inner(narrowed);
          }};
}

void divide_by_savings(std::vector<Scores>& scores, ChannelMutator& mutator) {
  const std::string& per = mutator.options().per;
  if (per.empty()) return;
  Budget budget;
  (per == "params"    ? budget.params
   : per == "memory"  ? budget.memory
   : per == "latency" ? budget.latency
                      : budget.macs) = Amount(1);
  const AllocationProblem problem = mutator.problem(budget);
  const auto& cost = problem.limits.front().cost;
  Widths widths;
  for (const auto* unit : mutator.mutable_units()) widths.push_back(unit->activated_channels());
  for (size_t i = 0, next = 0; i < scores.size(); ++i) {
    if (!mutator.units()[i]->is_mutable()) continue;
    const size_t unit = next++;
    const Bounds& bounds = problem.units[unit].bounds;
    const auto below = bounds.below(widths[unit]), above = bounds.above(widths[unit]);
    if (!below && !above) continue;
    Widths other = widths;
    other[unit] = below ? *below : *above;
    const double saved =
        (cost(widths) - cost(other)) / static_cast<double>(widths[unit] - other[unit]);
    if (saved <= 0) continue;
    for (auto& block : scores[i]) {
      for (double& score : block) score /= saved;
    }
  }
}

}  // namespace cpd
