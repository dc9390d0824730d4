#include <cpd/allocation/allocation.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>

namespace cpd {

void AllocationUnit::prepare() {
  std::vector<double> steps(static_cast<size_t>(bounds.of), 0);
  for (auto block : scores) {
    std::sort(block.begin(), block.end());
    for (size_t i = 0; i < steps.size(); ++i) steps[i] += block[i];
  }
  losses_.assign(steps.size() + 1, 0);  // by the number of channels removed
  for (size_t i = 0; i < steps.size(); ++i) losses_[i + 1] = losses_[i] + steps[i];
}

double AllocationUnit::loss(int64_t k) const { return losses_[static_cast<size_t>(bounds.of - k)]; }

bool AllocationProblem::fits(const Widths& widths) const {
  return std::all_of(limits.begin(), limits.end(),
                     [&](const Limit& limit) { return limit.cost(widths) <= limit.limit; });
}

double AllocationProblem::loss(const Widths& widths) const {
  double total = 0;
  for (size_t i = 0; i < units.size(); ++i) total += units[i].loss(widths[i]);
  return total;
}

Widths AllocationProblem::smallest() const {
  Widths widths;
  for (const auto& unit : units) widths.push_back(unit.bounds.smallest());
  return widths;
}

Widths AllocationProblem::largest() const {
  Widths widths;
  for (const auto& unit : units) widths.push_back(unit.bounds.at_most(unit.bounds.largest()));
  return widths;
}

void AllocationProblem::verify() const {
  for (const auto& unit : units) {
    unit.bounds.verify(unit.name);
    for (const auto& block : unit.scores) {
      if (static_cast<int64_t>(block.size()) != unit.bounds.of) {
        throw Error("unit " + unit.name + " has " + std::to_string(block.size()) + " scores", {},
                    std::to_string(unit.bounds.of));
      }
      if (!std::all_of(block.begin(), block.end(), [](double s) { return std::isfinite(s); })) {
        throw Error("unit " + unit.name + " has a score that is not finite", {},
                    "weights and data without NaN or infinity");
      }
    }
  }
  const Widths least = smallest();
  for (const auto& limit : limits) {
    const double reachable = limit.cost(least);
    if (reachable > limit.limit) {
      throw Error("a budget of " + std::to_string(limit.limit) + " " + limit.name +
                      " cannot be reached: the nearest is " + std::to_string(reachable),
                  {}, "a larger budget, or fewer frozen units and bounds");
    }
  }
}

Widths ratio_widths(const std::vector<AllocationUnit>& units, double ratio) {
  Widths widths;
  for (const auto& unit : units) {
    const int64_t k = number_of(ratio, unit.bounds.of, unit.name);
    widths.push_back(unit.bounds.at_most(k));
  }
  return widths;
}

Allocation filled(const AllocationProblem& problem, Widths widths) {
  Allocation result;
  std::vector<size_t> order(problem.units.size());
  std::iota(order.begin(), order.end(), 0);
  const auto gain = [&](size_t i) {
    const auto next = problem.units[i].bounds.above(widths[i]);
    return next ? problem.units[i].loss(widths[i]) - problem.units[i].loss(*next) : -1.0;
  };
  for (bool changed = true; changed;) {
    changed = false;
    result.stopped_by.clear();
    std::vector<double> gains;
    for (size_t i = 0; i < order.size(); ++i) gains.push_back(gain(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return gains[a] > gains[b]; });
    for (size_t i : order) {
      const auto next = problem.units[i].bounds.above(widths[i]);
      if (!next) continue;
      Widths wider = widths;
      wider[i] = *next;
      const auto broken =
          std::find_if(problem.limits.begin(), problem.limits.end(),
                       [&](const Limit& limit) { return limit.cost(wider) > limit.limit; });
      if (broken == problem.limits.end()) {
        widths = wider;
        changed = true;
      } else if (const double cost = broken->cost(wider);
                 result.stopped_by.empty() || cost < result.next) {
        result.stopped_by = broken->name;
        result.next = cost;
      }
    }
  }
  for (const auto& limit : problem.limits) {
    if (limit.name == result.stopped_by) result.used = limit.cost(widths);
  }
  result.widths = std::move(widths);
  return result;
}

Allocation allocate_uniform(const AllocationProblem& problem) {
  problem.verify();
  Widths best = problem.smallest();
  double low = 0, high = 1;
  for (int step = 0; step < 40; ++step) {
    const double ratio = step == 0 ? 1 : (low + high) / 2;
    const Widths widths = ratio_widths(problem.units, std::max(ratio, 1e-9));
    const bool fits = problem.fits(widths);
    if (fits) best = widths;
    if (fits && step == 0) break;
    (fits ? low : high) = ratio;
  }
  return filled(problem, best);
}

namespace {

/// Widths when every step that loses less than `threshold` is taken.
Widths above_threshold(const AllocationProblem& problem, double threshold) {
  Widths widths;
  for (const auto& unit : problem.units) {
    int64_t k = unit.bounds.at_most(unit.bounds.largest());
    for (auto next = unit.bounds.below(k); next; next = unit.bounds.below(k)) {
      const double per_channel = (unit.loss(*next) - unit.loss(k)) / static_cast<double>(k - *next);
      if (per_channel >= threshold) break;
      k = *next;
    }
    widths.push_back(k);
  }
  return widths;
}

std::vector<double> thresholds(const AllocationProblem& problem) {
  std::vector<double> steps = {0};
  for (const auto& unit : problem.units) {
    for (int64_t k = unit.bounds.of; k > 1; --k) steps.push_back(unit.loss(k - 1) - unit.loss(k));
  }
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  steps.push_back(std::nextafter(steps.back(), INFINITY));
  return steps;
}

}  // namespace

Allocation allocate_global(const AllocationProblem& problem) {
  problem.verify();
  const auto steps = thresholds(problem);
  // The first threshold that fits; the last one takes every step there is.
  size_t low = 0, high = steps.size() - 1;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (problem.fits(above_threshold(problem, steps[middle])))
      high = middle;
    else
      low = middle + 1;
  }
  Widths widths = above_threshold(problem, steps[low]);
  if (!problem.fits(widths)) widths = problem.smallest();
  return filled(problem, widths);
}

Allocation allocate_greedy(const AllocationProblem& problem) {
  problem.verify();
  Widths widths = problem.largest();
  const auto excess = [&](const Widths& at) {  // how far above the limits, each as a fraction
    double total = 0;
    for (const auto& limit : problem.limits)
      total += std::max(0.0, limit.cost(at) / limit.limit - 1);
    return total;
  };
  struct Step {
    double price;  ///< score lost for the cost saved
    size_t unit;
    int64_t from;
    bool operator>(const Step& other) const {
      return price != other.price ? price > other.price : unit > other.unit;
    }
  };
  double now = excess(widths);
  const auto price = [&](size_t i) -> std::optional<Step> {
    const auto next = problem.units[i].bounds.below(widths[i]);
    if (!next) return std::nullopt;
    Widths narrower = widths;
    narrower[i] = *next;
    const double saved = now - excess(narrower);
    const double lost = problem.units[i].loss(*next) - problem.units[i].loss(widths[i]);
    return Step{saved > 0 ? lost / saved : INFINITY, i, widths[i]};
  };
  std::priority_queue<Step, std::vector<Step>, std::greater<>> queue;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (const auto step = price(i)) queue.push(*step);
  }
  while (now > 0 && !queue.empty()) {
    const Step top = queue.top();
    queue.pop();
    const auto fresh = price(top.unit);
    if (!fresh) continue;
    // Prices change with the widths of neighbours: take a step only at its present price.
    if (!queue.empty() && *fresh > queue.top() && fresh->price > top.price) {
      queue.push(*fresh);
      continue;
    }
    widths[top.unit] = *problem.units[top.unit].bounds.below(widths[top.unit]);
    now = excess(widths);
    if (const auto next = price(top.unit)) queue.push(*next);
  }
  if (!problem.fits(widths)) widths = problem.smallest();
  return filled(problem, widths);
}

Allocator::Allocator(const char* known) : Allocator(find_allocator(known)) {}
Allocator::Allocator(const std::string& known) : Allocator(find_allocator(known)) {}

std::vector<Allocator> allocators() {
  return {{"uniform", allocate_uniform}, {"global", allocate_global}, {"greedy", allocate_greedy}};
}

Allocator find_allocator(const std::string& name) {
  std::string known;
  for (const auto& allocator : allocators()) {
    if (allocator.name == name) return allocator;
    known += (known.empty() ? "" : ", ") + allocator.name;
  }
  throw Error("there is no allocation '" + name + "'", {"", "", "allocation"}, known);
}

}  // namespace cpd
