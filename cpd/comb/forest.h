#pragma once

#include <cpd/comb/labels.h>

#include <deque>
#include <map>
#include <span>
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
  /// The sorted primitive roots under a label, without the kept ones. Valid until a
  /// label is made or labels are united.
  std::span<const Label> normal_form(Label label) {
    const Label top = root(label);
    if (is_product(top)) return product_form(top);
    return {self_.data() + top, top == 0 ? size_t{0} : size_t{1}};
  }
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
  /// A label that is kept iff all factors are.
  struct Product {
    std::vector<Label> factors;
    std::vector<Label> form;  ///< normal, of the version
    int64_t version = -1;
  };

  /// Nearly always a step or none: only longer ways are shortened.
  Label root(Label label) {
    const Label up = parent_[static_cast<size_t>(label)];
    return parent_[static_cast<size_t>(up)] == up ? up : far_root(label);
  }
  Label far_root(Label label);
  bool is_product(Label root) const { return product_of_[static_cast<size_t>(root)] >= 0; }
  Product& product_at(Label root) {
    return product_list_[static_cast<size_t>(product_of_[static_cast<size_t>(root)])];
  }
  std::span<const Label> product_form(Label root);
  void make_product(Label label, std::vector<Label> factors);
  void unite(Label a, Label b);
  void unify_forms(const std::vector<Label>& a, const std::vector<Label>& b,
                   const LockReason& reason);
  void lock_primitive(Label primitive, const LockReason& reason);

  std::vector<Label> parent_;
  std::vector<PrimitiveKind> kinds_;
  std::vector<Level> levels_;
  std::vector<int32_t> reason_of_;
  std::vector<int32_t> product_of_;  ///< place in the list of products; -1 for primitives
  std::deque<Product> product_list_;
  std::vector<Label> self_;  ///< each label: the normal form of a primitive root
  std::vector<LockReason> reasons_;
  std::map<std::vector<Label>, Label> products_;
  int64_t version_ = 0;
};

}  // namespace cpd
