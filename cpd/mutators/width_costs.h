#pragma once

#include <cpd/allocation/allocation.h>
#include <cpd/allocation/budget.h>
#include <cpd/cost/cost.h>
#include <cpd/units/mutable_channel_unit.h>

#include <memory>
#include <vector>

namespace cpd {

/// What a network costs at given widths of its units. Which channels are kept is decided as the
/// units do, by score.
class WidthCosts {
 public:
  /// `scored` has the scores of `units`, in the same order.
  WidthCosts(const Combing& combing, std::shared_ptr<const CostModel> costs,
             const std::vector<const MutableChannelUnit*>& units,
             const std::vector<AllocationUnit>& scored);

  /// The widths of the dense network.
  Widths largest() const;
  Keep keep(const Widths& widths) const;
  double macs(const Widths& widths) const;
  double parameters(const Widths& widths) const;
  double memory(const Widths& widths, int64_t batch) const;
  /// Channels kept in all blocks of all units.
  double channels(const Widths& widths) const;

 private:
  const Combing* combing_;
  std::shared_ptr<const CostModel> costs_;
  /// unit -> block -> primitives, the last to go first
  std::vector<std::vector<std::vector<Primitive>>> order_;
};

/// The limits that a budget means; none for a ratio, which is a rule.
std::vector<Limit> limits_of(const Budget& budget, const WidthCosts& costs);

}  // namespace cpd
