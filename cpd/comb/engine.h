#pragma once

#include <cpd/comb/constants.h>
#include <cpd/comb/rule.h>
#include <cpd/model/model.h>

#include <map>
#include <memory>
#include <set>
#include <vector>

namespace cpd {

/// An array that has to stay a rectangle: as many kept along `dim` in every kept row.
struct Rectangle {
  LabelArray array;
  int dim = 0;
};

/// Labels on their way through the graph: the context that rules work in, one op after the other.
class Engine : public RuleContext {
 public:
  Engine(const Model& model, const Rules& rules);

  /// Runs every op's rule; locks what the network returns.
  void propagate();

  const Graph& graph() const override { return model_.graph; }
  const Op& op() const override { return graph().op(current_); }
  Labels labels(ValueId value) override;
  void set(ValueId output, Labels labels) override;
  at::Tensor constant(ValueId value) override;
  bool is_parameter(ValueId value) const override { return weightlike_[index(value)]; }
  void role(ValueId value, int dim, Role role) override;
  using RuleContext::lock;
  void unify(const LabelArray& a, const LabelArray& b) override;
  void lock(const LabelArray& array, const std::string& reason) override;
  void mark(const LabelArray& array, Level level) override;
  void tag(const LabelArray& array, const std::string& tag) override;
  LabelArray align(const LabelArray& array, int dim) override;
  LabelArray fresh(const Shape& extents, PrimitiveKind kind) override;
  void rectangle(const LabelArray& array, int dim) override;
  void record(const std::string& key, const Labels& labels) override;
  Labels split(const Labels& labels, int dim, int64_t rows, int64_t columns) override;
  Labels merge(const Labels& labels, int dim) override;

  /// Constant directions reduced, entries replaced by canonical labels, all zeros = none.
  LabelArray canonical(LabelArray array);
  Labels canonical(Labels labels);

  const Model& model() const { return model_; }
  Forest& forest() { return forest_; }
  const std::vector<Rectangle>& rectangles() const { return rectangles_; }
  const std::vector<std::map<std::string, Labels>>& records() const { return records_; }
  const std::vector<bool>& folded() const { return folded_; }
  const std::vector<std::string>& unknown_ops() const { return unknown_; }
  /// Labels that the dimensions of parameters, buffers and folded constants were given at first.
  const std::map<ValueId, Labels>& atoms() const { return atoms_; }
  /// Tags by primitive root.
  std::map<Label, std::set<std::string>> tags();
  /// Kinds of the ops that write each parameter dimension.
  const std::map<std::pair<ValueId, int>, std::string>& writers() const { return writers_; }
  using Roles = std::map<std::pair<ValueId, int>, std::set<Role>>;
  /// Roles by (parameter, dimension), those of computed weights handed down to their parameters. A
  /// weight that several ops use may have two; `kAlong` stands alone.
  Roles roles();

 private:
  void make_canonical(LabelArray& array);
  static size_t index(ValueId value) { return static_cast<size_t>(value); }
  void find_constants();
  void make_atoms();
  Labels atoms_of(ValueId value, const std::vector<bool>& labelled_dims);
  void run_rule(const Op& op);
  void lock_outputs();
  /// Locks an array that goes with one that has no labels, for the same reason where one is known.
  void lock_with(const LabelArray& array, const LabelArray& locked);
  LockReason why(const std::string& text) const { return {current_, text}; }
  bool keep_array(const LabelArray& array) const;
  void make_rows(std::vector<std::vector<std::vector<Label>>>& rows);
  std::set<ValueId> parameters_under(ValueId value) const;

  const Model& model_;
  const Rules& rules_;
  Forest forest_;
  OpId current_ = -1;
  std::vector<Labels> labels_;
  std::vector<int64_t> labels_version_;  ///< the forest's when they were brought to canonical form
  std::map<ValueId, Labels> atoms_;
  std::vector<bool> weightlike_;  ///< depends on no input of the network
  std::vector<bool> folded_;      ///< depends on buffers and constants only, and is computed
  std::vector<Rectangle> rectangles_;
  std::vector<std::map<std::string, Labels>> records_;
  std::vector<std::string> unknown_;
  Roles roles_;         ///< in ops on data
  Roles weight_roles_;  ///< in ops that make a weight of weights
  struct ComputedRole {
    ValueId value;
    LabelArray array;
    Role role;
  };
  std::vector<ComputedRole> computed_roles_;
  std::vector<std::pair<LabelArray, std::string>> tags_;
  std::map<std::pair<ValueId, int>, std::string> writers_;
  ConstantValues constants_;
};

}  // namespace cpd
