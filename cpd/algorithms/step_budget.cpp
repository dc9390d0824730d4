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
              unit.bounds.min = std::min(unit.bounds.min, unit.bounds.max);
            }
            return inner(narrowed);
          }};
}

}  // namespace cpd
