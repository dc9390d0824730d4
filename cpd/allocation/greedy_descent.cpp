#include <cpd/allocation/greedy_descent.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace cpd {

GreedyDescent::GreedyDescent(const AllocationProblem& problem)
    : problem_(problem), widths_(problem.largest()) {
  note_costs();
  for (size_t unit = 0; unit < widths_.size(); ++unit) {
    if (const auto step = price(unit)) queue_.push(*step);
  }
}

bool GreedyDescent::fits() const {
  // Only once all limits are met do the met ones count again.
  return problem_.limits.empty() || problem_.fits(widths_);
}

double GreedyDescent::cost(const Widths& widths) const {
  if (problem_.limits.empty()) {
    return static_cast<double>(std::accumulate(widths.begin(), widths.end(), int64_t{0}));
  }
  double total = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const Limit& limit = problem_.limits[i];
    if (counts_[i]) total += limit.cost(widths) / limit.limit;
  }
  return total;
}

/// Which limits count at the present widths, and what these cost.
void GreedyDescent::note_costs() {
  counts_.clear();
  for (const Limit& limit : problem_.limits) counts_.push_back(limit.cost(widths_) > limit.limit);
  const bool all_met = std::none_of(counts_.begin(), counts_.end(), [](bool over) { return over; });
  if (all_met) counts_.assign(counts_.size(), true);
  now_ = cost(widths_);
}

std::optional<GreedyDescent::Step> GreedyDescent::price(size_t unit) const {
  const AllocationUnit& own = problem_.units[unit];
  const auto next = own.bounds.below(widths_[unit]);
  if (!next) return std::nullopt;
  Widths narrower = widths_;
  narrower[unit] = *next;
  const double saved = now_ - cost(narrower);
  const double lost = own.loss(*next) - own.loss(widths_[unit]);
  return Step{saved > 0 ? lost / saved : std::numeric_limits<double>::infinity(), unit};
}

bool GreedyDescent::step() {
  while (!queue_.empty()) {
    const Step top = queue_.top();
    queue_.pop();
    // Prices change with the widths of neighbours: a step is taken at its present price only.
    const auto fresh = price(top.unit);
    if (!fresh) continue;
    if (!queue_.empty() && *fresh > queue_.top() && fresh->price > top.price) {
      queue_.push(*fresh);
      continue;
    }
    widths_[top.unit] = *problem_.units[top.unit].bounds.below(widths_[top.unit]);
    note_costs();
    if (const auto next = price(top.unit)) queue_.push(*next);
    return true;
  }
  return false;
}

}  // namespace cpd
