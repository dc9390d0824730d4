#include <cpd/allocation/allocation.h>
#include <cpd/allocation/annealing.h>
#include <cpd/allocation/dynamic_programme.h>
#include <cpd/allocation/greedy_descent.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>

namespace cpd {
namespace {

constexpr int kBisections = 40;

/// A cost to the last digit that tells it from others.
std::string cost_text(double cost) {
  std::array<char, 400> text{};
  const auto written =
      std::to_chars(text.data(), text.data() + text.size(), cost, std::chars_format::fixed);
  return {text.data(), written.ptr};
}

}  // namespace

void AllocationUnit::prepare() {
  std::vector<double> steps(static_cast<size_t>(bounds.of), 0);
  for (auto block : scores) {
    std::sort(block.begin(), block.end());
    for (size_t i = 0; i < steps.size(); ++i) steps[i] += block[i];
  }
  losses_.assign(steps.size() + 1, 0);  // by the number of channels removed
  for (size_t i = 0; i < steps.size(); ++i) losses_[i + 1] = losses_[i] + steps[i];
}

void AllocationUnit::set_losses(std::vector<double> by_removed) {
  const auto given = static_cast<int64_t>(by_removed.size());
  if (given != bounds.of && given != bounds.of + 1) {
    throw Error("unit " + name + " has " + std::to_string(by_removed.size()) + " losses", {},
                std::to_string(bounds.of) + ", for 0 to " + std::to_string(bounds.of - 1) +
                    " channels removed");
  }
  losses_ = std::move(by_removed);
}

bool AllocationUnit::prepared() const { return static_cast<int64_t>(losses_.size()) >= bounds.of; }

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
    if (!unit.prepared())
      throw Error("unit " + unit.name + " has no losses", {}, "prepare() first");
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
    if (!(reachable <= limit.limit)) {
      throw Error("a budget of " + cost_text(limit.limit) + " " + limit.name +
                      " cannot be reached: the nearest is " + cost_text(reachable),
                  {}, "a larger budget, or fewer frozen units and bounds");
    }
  }
}

void keep_from_collapse(AllocationProblem& problem, double floor) {
  constexpr int kHalvings = 6;
  std::vector<int64_t> own;
  for (const auto& unit : problem.units) own.push_back(unit.bounds.min);
  for (int i = 0; i <= kHalvings; ++i, floor /= 2) {
    if (i == kHalvings) floor = 0;
    for (size_t u = 0; u < own.size(); ++u) {
      Bounds& bounds = problem.units[u].bounds;
      if (own[u] == 0) continue;  // may go as a whole
      const double part = std::ceil(floor * static_cast<double>(bounds.of) - 1e-9);
      const auto least = static_cast<int64_t>(part);
      bounds.min = std::max(own[u], std::min(least, bounds.largest()));
    }
    if (problem.fits(problem.smallest())) return;
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

namespace {

/// Units in the order of what one step more is worth to them, the most first.
std::vector<size_t> by_gain(const AllocationProblem& problem, const Widths& widths) {
  std::vector<double> gains;
  for (size_t i = 0; i < widths.size(); ++i) {
    const auto next = problem.units[i].bounds.above(widths[i]);
    gains.push_back(next ? problem.units[i].loss(widths[i]) - problem.units[i].loss(*next) : 0);
  }
  std::vector<size_t> order(widths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return gains[a] > gains[b]; });
  return order;
}

/// Takes one step more of a unit if it fits.
bool widened(const AllocationProblem& problem, size_t unit, Widths& widths) {
  const auto next = problem.units[unit].bounds.above(widths[unit]);
  if (!next) return false;
  const int64_t before = widths[unit];
  widths[unit] = *next;
  if (problem.fits(widths)) return true;
  widths[unit] = before;
  return false;
}

/// Says which limit the cheapest step more would exceed.
Allocation described(const AllocationProblem& problem, Widths widths) {
  Allocation result;
  double least = INFINITY;
  for (size_t i = 0; i < widths.size(); ++i) {
    const auto next = problem.units[i].bounds.above(widths[i]);
    if (!next) continue;
    Widths wider = widths;
    wider[i] = *next;
    for (const auto& limit : problem.limits) {
      const double cost = limit.cost(wider);
      if (cost <= limit.limit || cost / limit.limit >= least) continue;
      least = cost / limit.limit;
      result.stopped_by = limit.name;
      result.next = cost;
    }
  }
  for (const auto& limit : problem.limits) {
    if (limit.name == result.stopped_by) result.used = limit.cost(widths);
  }
  result.widths = std::move(widths);
  return result;
}

}  // namespace

Allocation filled(const AllocationProblem& problem, Widths widths) {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t unit : by_gain(problem, widths)) {
      changed = widened(problem, unit, widths) || changed;
    }
  }
  return described(problem, std::move(widths));
}

Allocation allocate_uniform(const AllocationProblem& problem) {
  problem.verify();
  Widths best = problem.smallest();
  double low = 0, high = 1;
  for (int step = 0; step < kBisections; ++step) {
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

/// Widths when every step of a unit that loses less than its threshold is taken.
Widths above_thresholds(const AllocationProblem& problem, const std::vector<double>& thresholds) {
  Widths widths;
  for (size_t i = 0; i < problem.units.size(); ++i) {
    const AllocationUnit& unit = problem.units[i];
    int64_t k = unit.bounds.at_most(unit.bounds.largest());
    for (auto next = unit.bounds.below(k); next; next = unit.bounds.below(k)) {
      const double per_channel = (unit.loss(*next) - unit.loss(k)) / static_cast<double>(k - *next);
      if (per_channel >= thresholds[i]) break;
      k = *next;
    }
    widths.push_back(k);
  }
  return widths;
}

Widths above_threshold(const AllocationProblem& problem, double threshold) {
  return above_thresholds(problem, std::vector<double>(problem.units.size(), threshold));
}

/// A unit without a family is one of its own.
const std::string& family_of(const AllocationUnit& unit) {
  return unit.family.empty() ? unit.name : unit.family;
}

/// The width below which no unit goes whatever its bounds: only a block can be dropped.
int64_t least(const AllocationUnit& unit) { return std::clamp<int64_t>(unit.bounds.min, 0, 1); }

std::vector<double> thresholds(const AllocationProblem& problem) {
  std::vector<double> steps = {0};
  for (const auto& unit : problem.units) {
    for (int64_t k = unit.bounds.of; k > least(unit); --k) {
      steps.push_back(unit.loss(k - 1) - unit.loss(k));
    }
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

Allocation allocate_isomorphic(const AllocationProblem& problem) {
  problem.verify();
  std::map<std::string, std::vector<double>> steps;
  for (const auto& unit : problem.units) {
    auto& family = steps[family_of(unit)];
    for (int64_t k = unit.bounds.of; k > least(unit); --k) {
      family.push_back(unit.loss(k - 1) - unit.loss(k));
    }
  }
  for (auto& [family, losses] : steps) std::sort(losses.begin(), losses.end());
  const auto at = [&](double removed) {
    std::vector<double> thresholds;
    for (const auto& unit : problem.units) {
      const auto& losses = steps[family_of(unit)];
      const auto rank = static_cast<size_t>(removed * static_cast<double>(losses.size()));
      thresholds.push_back(rank < losses.size() ? losses[rank] : INFINITY);
    }
    return above_thresholds(problem, thresholds);
  };
  double low = 0, high = 1;
  if (problem.fits(at(low))) return filled(problem, at(low));
  for (int step = 0; step < kBisections; ++step) {
    const double middle = (low + high) / 2;
    (problem.fits(at(middle)) ? high : low) = middle;
  }
  const Widths widths = at(high);
  return filled(problem, problem.fits(widths) ? widths : problem.smallest());
}

Allocation allocate_greedy(const AllocationProblem& problem) {
  problem.verify();
  GreedyDescent descent(problem);
  while (!descent.fits() && descent.step()) {
  }
  return filled(problem, descent.fits() ? descent.widths() : problem.smallest());
}

Allocator::Allocator(const char* known) : Allocator(find_allocator(known)) {}
Allocator::Allocator(const std::string& known) : Allocator(find_allocator(known)) {}

std::vector<Allocator> allocators() {
  return {{"uniform", allocate_uniform},
          {"global", allocate_global},
          {"isomorphic", allocate_isomorphic},
          {"greedy", allocate_greedy},
          {"dynamic_programme", allocate_dynamic_programme},
          {"annealing", [](const AllocationProblem& problem) {
             return allocate_annealing(problem, AnnealingOptions());
           }}};
}

Allocator find_allocator(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& allocator : allocators()) {
    if (allocator.name == name) return allocator;
    known.push_back(allocator.name);
  }
  throw Error("there is no allocation '" + name + "'" + suggestion(name, known),
              {.path = "allocation"}, joined(known));
}

}  // namespace cpd
