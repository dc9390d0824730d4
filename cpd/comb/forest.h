#pragma once

#include <cpd/comb/labels.h>

#include <map>
#include <string>
#include <vector>

namespace cpd {

/// How exactly a pruned network equals a masked dense one.
enum class Level {
  kExact,      ///< reader slices set to zero give the same output
  kOperand,    ///< positions are mixed without a weight: an operand must be masked
  kStatistics  ///< a mean, variance or norm over the cut dimension changes
};
const char* name_of(Level level);

enum class PrimitiveKind {
  kElement,  ///< a slice of a parameter dimension, or made by splitting one off
  kRow,      ///< a whole row of a split dimension: head, group
  kCopy      ///< a position made by expand, repeat or padding
};

/// Why labels were locked.
struct LockReason {
  OpId op = -1;  ///< -1: an input or output of the network
  std::string text;
};

/// Labels as disjoint sets. A root is 0 (always kept), a primitive (kept or removed by itself) or a
/// product (kept if and only if all of its factors are).
class Forest {
 public:
  Forest();

  Label fresh(PrimitiveKind kind);
  /// The label kept iff all of `labels` are; interned by content.
  Label product(const std::vector<Label>& labels);
  /// The sorted primitive roots under a label, without the kept ones.
  const std::vector<Label>& normal_form(Label label);
  /// One label for each normal form: 0, a primitive root or an interned product.
  Label canonical(Label label);
  PrimitiveKind kind(Label primitive) const { return kinds_[static_cast<size_t>(primitive)]; }

  /// Makes the normal forms of both equal.
  void unify(Label a, Label b, const LockReason& reason);
  void lock(Label label, const LockReason& reason);
  /// Makes a primitive root stand for a product of `factors` from now on.
  void bind(Label primitive, const std::vector<Label>& factors);
  /// Lowers the level of every primitive under a label.
  void mark(Label label, Level level);
  Level level(Label primitive) const { return levels_[static_cast<size_t>(primitive)]; }
  /// Reason of a locked label; null if it is not locked or was never a primitive.
  const LockReason* reason(Label label);

  /// Grows at each union, bind or lock.
  int64_t version() const { return version_; }

 private:
  Label root(Label label);
  void unite(Label a, Label b);
  void unify_forms(const std::vector<Label>& a, const std::vector<Label>& b,
                   const LockReason& reason);
  void lock_primitive(Label primitive, const LockReason& reason);

  std::vector<Label> parent_;
  std::vector<PrimitiveKind> kinds_;
  std::vector<Level> levels_;
  std::vector<int32_t> reason_of_;
  std::vector<std::vector<Label>> factors_;  ///< of products; empty for primitives
  std::vector<std::vector<Label>> forms_;    ///< cached normal forms
  std::vector<int64_t> form_version_;
  std::vector<LockReason> reasons_;
  std::map<std::vector<Label>, Label> products_;
  int64_t version_ = 0;
};

}  // namespace cpd
