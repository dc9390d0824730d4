#pragma once

#include <cpd/plan/choice.h>
#include <cpd/plan/plan.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cpd {

/// The slices of one parameter dimension that belong to a unit.
struct GroupMember {
  std::string parameter;
  int64_t dim = 0;
  std::string role;  ///< `writer`, `reader` or `along`
  /// For each block the indices along the dimension that belong to it, ascending: index lists, no
  /// ranges. Empty for a block that has none here.
  std::vector<Indices> indices;
  bool operator==(const GroupMember&) const = default;
};

/// A unit as a file describes it. `frozen`, `min`, `max` and `divisor` may be edited.
struct GroupEntry {
  std::string kind;     ///< `plain`, `columns`, `rows`, `copies` or `blocks`
  std::string level;    ///< `exact`, `operand` or `statistics`
  std::string role;     ///< `heads`, `mlp`, ...; may be empty
  int64_t of = 0;       ///< channels in a block
  int64_t blocks = 1;   ///< blocks that keep the same number
  bool offered = true;  ///< false: not pruned by default, for `reason`
  std::string reason;
  bool frozen = false;  ///< editable: leave the unit whole
  int64_t min = 1;      ///< editable: keep at least so many of each block; 0 of `blocks`
  int64_t max = -1;     ///< editable: keep at most so many; -1 = all
  int64_t divisor = 1;  ///< editable: the width that a layer sees is a multiple of it
  std::vector<GroupMember> members;
  bool operator==(const GroupEntry&) const = default;
};

/// A parameter dimension of which something can never be removed.
struct LockedEntry {
  std::string parameter;
  int64_t dim = 0;
  int64_t count = 0;  ///< locked slices
  std::string reason;
  std::string op;      ///< the op that locks, e.g. `aten::softmax`
  std::string source;  ///< its line in the user's source; may be empty
  bool operator==(const LockedEntry&) const = default;
};

/// Which channels of a network must go together, as a file (docs/formats.md).
struct Groups {
  ModelIdentity model;
  std::map<std::string, GroupEntry> units;
  std::vector<LockedEntry> locked;
  std::vector<std::string> unknown_ops;  ///< kinds of ops without a rule, with their lines

  /// Throws cpd::Error with the key's path if sizes, indices or bounds contradict each other.
  void verify() const;
  bool operator==(const Groups&) const = default;
};

std::string to_json(const Groups& groups);
/// Throws cpd::Error with the key's path for anything that is no groups file of a known version.
Groups groups_from_json(const std::string& text);

/// Throws cpd::Error if an edited file differs from the network's own groups in more than `frozen`,
/// `min`, `max` and `divisor`; names the first other difference.
void check_edited(const Groups& edited, const Groups& own);

}  // namespace cpd
