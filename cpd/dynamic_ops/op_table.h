#pragma once

#include <cpd/comb/rule.h>
#include <cpd/dynamic_ops/dynamic_op.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cpd {

using DynamicOpFactory = std::function<std::unique_ptr<DynamicOp>(const Model& model, OpId op)>;

/// Factory of one class for any op.
template <typename T>
DynamicOpFactory dynamic_op_factory() {
  return [](const Model& model, OpId op) { return std::make_unique<T>(model, op); };
}

/// Which dynamic op stands for which kind of op. Users add their own and hand the table over.
class DynamicOpTable {
 public:
  /// A later factory for the same kind replaces the earlier one.
  void add(const std::string& kind, DynamicOpFactory factory) {
    factories_[kind] = std::move(factory);
  }
  void add_all(const std::vector<std::string>& kinds, const DynamicOpFactory& factory) {
    for (const auto& kind : kinds) add(kind, factory);
  }
  /// The dynamic op of an op of the graph. Kinds that are not in the table run as they are if their
  /// rule says that they only move positions, and on gathered operands otherwise.
  std::unique_ptr<DynamicOp> make(const Model& model, OpId op, const Rules& rules) const;

 private:
  std::map<std::string, DynamicOpFactory> factories_;
};

/// Every dynamic op that cpd ships.
DynamicOpTable default_dynamic_ops();

}  // namespace cpd
