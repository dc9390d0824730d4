#pragma once

#include <cpd/comb/forest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace at {
class Tensor;
}

namespace cpd {

class Combing;
class Model;
class Keep;

/// The part that a dimension of a parameter plays in a unit.
enum class Role {
  kWriter,  ///< a contraction keeps it
  kReader,  ///< a contraction sums over it
  kAlong    ///< it meets the channels elementwise (batch norm, PReLU, a bias)
};
const char* name_of(Role role);

/// One operand of a contraction: its labels and a name for each dimension; the empty name takes no
/// part (kernel and spatial dimensions are locked by the rule itself).
struct Operand {
  Labels labels;
  std::vector<std::string> names;
  ValueId parameter = -1;  ///< the parameter that the labels are of, if they are one's
};

/// What a combing rule sees of one op, and what it may do to labels. Labels that it gets are in
/// canonical form: constant directions have extent 1, all-zero arrays are none. Dimensions may be
/// negative in `op()` but not in the functions here.
class RuleContext {
 public:
  virtual ~RuleContext() = default;

  virtual const Graph& graph() const = 0;
  virtual const Op& op() const = 0;
  const Shape& shape(ValueId value) const { return graph().value(value).shape; }
  /// Non-negative dimension of a value.
  int dim_of(ValueId value, int64_t dim) const;

  virtual Labels labels(ValueId value) = 0;
  /// Sets the labels of an output of the op; the shape must be the value's.
  virtual void set(ValueId output, Labels labels) = 0;
  /// The data of a value that depends on buffers and constants only; undefined tensor otherwise.
  virtual at::Tensor constant(ValueId value) = 0;
  virtual bool is_parameter(ValueId value) const = 0;
  /// States the role of a parameter's dimension; nothing happens for other values.
  virtual void role(ValueId value, int dim, Role role) = 0;

  /// Makes two arrays equal under broadcasting; none counts as zeros.
  virtual void unify(const LabelArray& a, const LabelArray& b) = 0;
  /// Locks every label of an array, with the op as the reason.
  virtual void lock(const LabelArray& array, const std::string& reason) = 0;
  /// Locks one dimension of a value (`labels(value).dims[dim]`).
  void lock(ValueId value, int dim, const std::string& reason);
  void lock_all(ValueId value, const std::string& reason);
  virtual void mark(const LabelArray& array, Level level) = 0;
  /// Notes what the labels are for in a contraction of two activations: `heads` (batch names), `qk`
  /// (summed), `v` (kept of one operand). Units get their roles from it.
  virtual void tag(const LabelArray& array, const std::string& tag) = 0;
  /// Makes an array constant along `dim` (unifies all its slices) and returns it so.
  virtual LabelArray align(const LabelArray& array, int dim) = 0;
  /// Before an op mixes `dim` away: aligns every *other* array of the value over it.
  Labels align_others(Labels labels, int dim);
  /// An array of fresh primitives of the given extents.
  virtual LabelArray fresh(const Shape& extents, PrimitiveKind kind) = 0;
  /// Registers an array as one that has to stay a rectangle (inner values of composite ops).
  virtual void rectangle(const LabelArray& array, int dim) = 0;
  /// Keeps labels of an inner value under a key, for the op's rewrite (number of groups and such).
  virtual void record(const std::string& key, const Labels& labels) = 0;

  /// Splits a dimension into rows and columns: rows get labels of their own where they can.
  virtual Labels split(const Labels& labels, int dim, int64_t rows, int64_t columns) = 0;
  /// Merges dimensions `dim` and `dim + 1`.
  virtual Labels merge(const Labels& labels, int dim) = 0;
  /// Any reshape, by merges and splits of minimal groups of dimensions.
  Labels reshape(const Labels& labels, const Shape& shape);

  /// Concatenation along `dim` of values that agree elsewhere.
  Labels concatenate(const std::vector<Labels>& parts, int dim);
  /// Elementwise meeting of operands under broadcasting; returns the labels of the result.
  /// An operand's parameter dimensions get role `kAlong`.
  Labels elementwise(const std::vector<ValueId>& operands, const Shape& result);
  Labels meet(const std::vector<Labels>& operands, const Shape& result);
  /// A contraction: arrays under the same name are unified, names that are missing in `result` are
  /// summed over. Summed names that no parameter carries are marked `kOperand`; with parameters the
  /// roles are stated. Arrays that vary along a summed dimension are aligned first.
  Labels contract(std::vector<Operand> operands, const std::vector<std::string>& result,
                  const Shape& shape);
};

/// What a rewrite sees: the op of the dense graph, the same op to be edited for the compact graph,
/// and what is kept. All owned integers are computed here and nowhere else.
class RewriteContext {
 public:
  virtual ~RewriteContext() = default;

  virtual const Graph& dense() const = 0;
  virtual const Op& dense_op() const = 0;
  virtual Op& op() = 0;  ///< starts as a copy of the dense op

  /// Number kept along a dimension of a value, in a kept row.
  virtual int64_t size(ValueId value, int dim) const = 0;
  /// The same among positions [begin, end).
  virtual int64_t count(ValueId value, int dim, int64_t begin, int64_t end) const = 0;
  bool shrinks(ValueId value, int dim) const;
  /// Kept positions along a dimension whose array does not vary elsewhere (throws otherwise).
  virtual std::vector<int64_t> kept(ValueId value, int dim) const = 0;
  virtual int64_t recorded_size(const std::string& key, int dim) const = 0;
  /// Kept positions of a recorded inner value along a dimension.
  virtual std::vector<int64_t> recorded_kept(const std::string& key, int dim) const = 0;

  /// The data of a value that depends on buffers and constants only; undefined tensor otherwise.
  virtual at::Tensor constant(ValueId value) const = 0;

  /// A size argument for a dimension of an output: the kept number where the dimension shrinks (an
  /// expression that follows the inputs is scaled by kept / dense), the dense expression otherwise.
  Expr owned(const Expr& dense_size, ValueId value, int dim) const;
  /// A new int64 constant of the compact graph.
  virtual ValueId index_constant(const std::vector<int64_t>& values) = 0;
  /// Replaces the op by `aten::index_select` of its input along `dim` (strided slices, shuffles).
  void replace_by_index_select(ValueId input, int dim, const std::vector<int64_t>& positions);
};

/// How one kind of op carries labels, and how its integers follow.
struct Rule {
  std::function<void(RuleContext&)> comb;
  std::function<void(RewriteContext&)> rewrite = nullptr;  ///< null: the arguments stay as they are
  bool layout = false;  ///< moves elements and does no arithmetic: certified by position numbers
};

/// The rules by op kind. An op without a rule locks everything that it sees.
class Rules {
 public:
  /// A later rule for the same kind replaces the earlier one.
  void add(const std::string& kind, Rule rule) { rules_[kind] = std::move(rule); }
  void add_all(const std::vector<std::string>& kinds, const Rule& rule) {
    for (const auto& kind : kinds) rules_[kind] = rule;
  }
  const Rule* find(const std::string& kind) const;
  std::vector<std::string> kinds() const;

 private:
  std::map<std::string, Rule> rules_;
};

/// Every rule that cpd ships.
Rules default_rules();

}  // namespace cpd
