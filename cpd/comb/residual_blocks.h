#pragma once

#include <cpd/comb/combing.h>
#include <cpd/model/model.h>

#include <algorithm>
#include <map>
#include <vector>

namespace cpd {

/// Finds every branch b of a sum y = x + b from the graph alone: b follows from x, and nobody else
/// reads anything on the way from x to the sum. Branches without parameters are left out. Blocks
/// may stand inside each other. In the order of their sums; without primitives.
std::vector<ResidualBlock> find_residual_blocks(const Model& model);

/// Is it the name of a block's unit? Those of channels have no `#block` in them.
bool is_block_name(const std::string& unit);

/// Is there a block among the units of a plan or of choices, which are maps by name?
template <typename Units>
bool names_blocks(const Units& units) {
  return std::any_of(units.begin(), units.end(),
                     [](const auto& unit) { return is_block_name(unit.first); });
}

/// What is left of a network when a keep drops residual blocks: their ops are gone, and their sums
/// are what they were added to. Value ids stay.
class DroppedBlocks {
 public:
  /// `graph` must outlive it.
  DroppedBlocks(const Graph& graph, const Combing& combing, const Keep& keep);

  bool any() const { return !trunks_.empty(); }
  /// Is the op gone?
  bool has(OpId op) const { return any() && gone_[static_cast<size_t>(op)]; }
  /// The value that stands for another one now: the trunk for a sum that is gone, else itself.
  ValueId resolved(ValueId value) const;
  /// An op that is left, with the values that stand for its operands.
  Op resolved(const Op& op) const;
  Output resolved(const Output& output) const;
  Expr resolved(const Expr& expr) const;
  /// Sums that are gone and what stands for them.
  const std::map<ValueId, ValueId>& trunks() const { return trunks_; }
  /// The dense graph without the ops that are gone.
  Graph rest() const;
  /// For each entry of the model's table: does it leave the network? Entries do that only ops that
  /// are gone read, and unread ones whose whole layer goes.
  std::vector<bool> parameters(const Model& model) const;

 private:
  const Graph* graph_;
  std::vector<bool> gone_;
  std::map<ValueId, ValueId> trunks_;
};

}  // namespace cpd
