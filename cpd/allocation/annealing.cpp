#include <cpd/allocation/annealing.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>

#include <algorithm>
#include <cmath>

namespace cpd {
namespace {

/// The allowed width `steps` steps from `width`, or the last one before.
int64_t moved(const Bounds& bounds, int64_t width, int64_t steps) {
  for (; steps > 0; --steps) width = bounds.above(width).value_or(width);
  for (; steps < 0; ++steps) width = bounds.below(width).value_or(width);
  return width;
}

/// Narrows one unit and widens another as far as fits.
Widths neighbour(const AllocationProblem& problem, const Widths& widths, Random& random) {
  const auto count = static_cast<int64_t>(widths.size());
  const auto from = static_cast<size_t>(random.below(count));
  const auto to = static_cast<size_t>(random.below(count));
  const int64_t steps = 1 + random.below(std::max<int64_t>(1, problem.units[from].bounds.of / 8));
  Widths next = widths;
  next[from] = moved(problem.units[from].bounds, next[from], -steps);
  const auto& bounds = problem.units[to].bounds;
  const int64_t most = 1 + random.below(std::max<int64_t>(1, bounds.of / 4));
  for (int64_t taken = 0; taken < most; ++taken) {
    const auto wider = bounds.above(next[to]);
    if (!wider) break;
    Widths longer = next;
    longer[to] = *wider;
    if (!problem.fits(longer)) break;
    next = std::move(longer);
  }
  return next;
}

}  // namespace

void AnnealingOptions::verify() const {
  if (steps < 1)
    throw Error("the value is " + std::to_string(steps), {.path = "steps"}, "1 or more");
  if (!(end > 0 && end <= start)) {
    throw Error("temperatures from " + std::to_string(start) + " to " + std::to_string(end),
                {.path = "start"}, "0 < end <= start");
  }
}

Allocation allocate_annealing(const AllocationProblem& problem, const AnnealingOptions& options) {
  options.verify();
  problem.verify();
  const auto objective = [&](const Widths& widths) {
    return options.objective ? options.objective(widths) : problem.loss(widths);
  };
  Widths now = allocate_greedy(problem).widths;
  if (now.empty()) return filled(problem, now);
  double value = objective(now);
  Widths best = now;
  double least = value;
  const double scale = std::max(std::fabs(value), 1e-12);
  Random random(mix(options.seed));
  for (int64_t step = 0; step < options.steps; ++step) {
    const double progress = static_cast<double>(step) / static_cast<double>(options.steps);
    const double temperature =
        scale * options.start * std::pow(options.end / options.start, progress);
    Widths next = neighbour(problem, now, random);
    if (next == now) continue;
    const double next_value = objective(next);
    const double chance = std::exp(std::min(0.0, (value - next_value) / temperature));
    if (random.uniform() >= chance) continue;
    now = std::move(next);
    value = next_value;
    if (value >= least) continue;
    least = value;
    best = now;
  }
  return filled(problem, best);
}

}  // namespace cpd
