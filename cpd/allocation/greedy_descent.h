#pragma once

#include <cpd/allocation/allocation.h>

#include <optional>
#include <queue>
#include <vector>

namespace cpd {

/// Narrows a problem's units one step after another, each time the one that loses least score for
/// the cost that it saves at the present widths.
///
/// Costs are those of the problem's limits, each relative to its limit; those that are met already
/// count no more, until all are met. Without limits a channel costs the same everywhere.
class GreedyDescent {
 public:
  /// Starts at the largest widths. `problem` must outlive it.
  explicit GreedyDescent(const AllocationProblem& problem);

  const Widths& widths() const { return widths_; }
  bool fits() const;
  /// Takes one step; false if every unit is at its smallest.
  bool step();

 private:
  struct Step {
    double price;  ///< score lost for the cost saved
    size_t unit;
    bool operator>(const Step& other) const {
      return price != other.price ? price > other.price : unit > other.unit;
    }
  };

  double cost(const Widths& widths) const;
  void note_costs();
  std::optional<Step> price(size_t unit) const;

  const AllocationProblem& problem_;
  Widths widths_;
  std::vector<bool> counts_;  ///< by limit
  double now_ = 0;
  std::priority_queue<Step, std::vector<Step>, std::greater<>> queue_;
};

}  // namespace cpd
