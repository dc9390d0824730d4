#include <cpd/allocation/dynamic_programme.h>
#include <cpd/allocation/greedy_descent.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace cpd {
namespace {

constexpr int kMostOptions = 64;
constexpr int kMostSweeps = 8;
constexpr int kMostCorrections = 6;

/// A combination of options of the first units.
struct State {
  double cost = 0;
  double loss = 0;
  size_t before = 0;  ///< the state that it extends
  size_t option = 0;
};

/// Keeps, in the order of cost, what loses less than everything cheaper.
std::vector<State> undominated(std::vector<State> states) {
  std::stable_sort(states.begin(), states.end(), [](const State& a, const State& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.loss < b.loss;
  });
  std::vector<State> kept;
  for (const State& state : states) {
    if (kept.empty() || state.loss < kept.back().loss) kept.push_back(state);
  }
  return kept;
}

/// At most `most` states: of those that fall in the same interval of cost the one with least loss,
/// and the cheapest of all, so that something fits later on.
std::vector<State> thinned(const std::vector<State>& states, size_t most, double limit) {
  if (states.size() <= most) return states;
  const double low = states.front().cost;
  const double interval = std::max((limit - low) / static_cast<double>(most - 1), 1e-300);
  std::vector<State> kept = {states.front()};
  double last = -1;
  for (size_t i = 1; i < states.size(); ++i) {
    const double bucket = std::floor((states[i].cost - low) / interval);
    if (bucket == last)
      kept.back() = states[i];
    else
      kept.push_back(states[i]);
    last = bucket;
  }
  return kept;
}

/// The least that the units from each one on can cost.
std::vector<double> least_costs(const std::vector<std::vector<WidthOption>>& units) {
  std::vector<double> least(units.size() + 1, 0);
  for (size_t i = units.size(); i > 0; --i) {
    double cheapest = std::numeric_limits<double>::infinity();
    for (const auto& option : units[i - 1]) cheapest = std::min(cheapest, option.cost);
    least[i - 1] = least[i] + cheapest;
  }
  return least;
}

std::vector<State> extended(const std::vector<State>& states,
                            const std::vector<WidthOption>& options, double room) {
  std::vector<State> longer;
  for (size_t s = 0; s < states.size(); ++s) {
    for (size_t o = 0; o < options.size(); ++o) {
      const double cost = states[s].cost + options[o].cost;
      if (cost <= room) longer.push_back({cost, states[s].loss + options[o].loss, s, o});
    }
  }
  return undominated(std::move(longer));
}

std::vector<int64_t> widths_to_try(const Bounds& bounds, int64_t present) {
  std::vector<int64_t> all;
  for (std::optional<int64_t> k = bounds.smallest(); k; k = bounds.above(*k)) all.push_back(*k);
  if (all.size() <= kMostOptions) return all;
  std::vector<int64_t> some = {present};
  for (size_t i = 0; i < kMostOptions; ++i) {
    some.push_back(all[i * (all.size() - 1) / (kMostOptions - 1)]);
  }
  std::sort(some.begin(), some.end());
  some.erase(std::unique(some.begin(), some.end()), some.end());
  return some;
}

/// The largest share of a limit; at most 1 if all hold.
double share_of(const AllocationProblem& problem, const Widths& widths) {
  double share = 0;
  for (const Limit& limit : problem.limits) {
    share = std::max(share, limit.cost(widths) / limit.limit);
  }
  return share;
}

/// What each width of each unit costs more or less than the present one, the others as they are.
std::vector<std::vector<WidthOption>> options_at(const AllocationProblem& problem,
                                                 const Widths& present) {
  const double base = share_of(problem, present);
  std::vector<std::vector<WidthOption>> units;
  for (size_t i = 0; i < present.size(); ++i) {
    units.emplace_back();
    Widths changed = present;
    for (int64_t width : widths_to_try(problem.units[i].bounds, present[i])) {
      changed[i] = width;
      units.back().push_back(
          {width, share_of(problem, changed) - base, problem.units[i].loss(width)});
    }
  }
  return units;
}

/// The best combination near the present widths that fits in truth: what the sum of single changes
/// misjudges is taken off the room.
std::optional<Widths> swept(const AllocationProblem& problem, const Widths& present) {
  const auto options = options_at(problem, present);
  double room = 1 - share_of(problem, present);
  for (int trial = 0; trial < kMostCorrections; ++trial) {
    Widths widths = cheapest_combination(options, room);
    if (widths.empty()) return std::nullopt;
    if (problem.fits(widths)) return widths;
    room -= std::max(share_of(problem, widths) - 1, 1e-9);
  }
  return std::nullopt;
}

}  // namespace

Widths cheapest_combination(const std::vector<std::vector<WidthOption>>& units, double limit,
                            size_t most_states) {
  // Sums of shares of a limit are rounded: a combination that meets it exactly must not be lost.
  const double rounding = 1e-12 * std::max(1.0, std::fabs(limit));
  const auto least = least_costs(units);
  std::vector<std::vector<State>> stages = {{State{}}};
  for (size_t i = 0; i < units.size(); ++i) {
    const double room = limit + rounding - least[i + 1];
    stages.push_back(thinned(extended(stages.back(), units[i], room), most_states, room));
  }
  if (stages.back().empty()) return {};
  Widths widths(units.size());
  size_t at = stages.back().size() - 1;  // the last state is the dearest and loses least
  for (size_t i = units.size(); i > 0; --i) {
    const State& state = stages[i][at];
    widths[i - 1] = units[i - 1][state.option].width;
    at = state.before;
  }
  return widths;
}

Allocation allocate_dynamic_programme(const AllocationProblem& problem) {
  problem.verify();
  Allocation best = allocate_greedy(problem);
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    const auto widths = swept(problem, best.widths);
    if (!widths) break;
    Allocation next = filled(problem, *widths);
    if (problem.loss(next.widths) >= problem.loss(best.widths)) break;
    best = std::move(next);
  }
  return best;
}

}  // namespace cpd
