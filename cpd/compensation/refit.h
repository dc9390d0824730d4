#pragma once

#include <cpd/compensation/compensation.h>
#include <cpd/compensation/least_squares.h>
#include <cpd/compensation/side_by_side.h>
#include <cpd/importance/layer_rows.h>

#include <functional>
#include <set>

namespace cpd {

/// Fits the readers of a pruned network one after another while a sweep goes through it.
class Refit {
 public:
  /// What is given must outlive it.
  Refit(SideBySide& sweep, const CompensationOptions& options, std::vector<std::string>& notes);

  /// To be called with each op of the sweep.
  /// May `visit` have something to do there?
  static bool looks_at(const Op& op);
  void visit(OpId op);

 private:
  /// What a layer's output is added to, live in both networks, and the factor per channel that a
  /// batch norm puts in between.
  struct Sum {
    ValueId other = -1;
    ValueId twin = -1;  ///< the same in the dense network
    at::Tensor scale;
  };

  ValueId only_user_of(ValueId value) const;
  bool is_own(ValueId parameter) const;
  std::string why_not(const LayerRows& layer) const;
  Sum sum_after(const LayerRows& layer) const;
  /// Rows that are wanted, from flat positions in the layer's output.
  using Target = std::function<at::Tensor(const at::Tensor& index)>;
  Target target(size_t batch, const LayerRows& layer, const Sum& sum) const;
  LeastSquares gathered(const LayerRows& layer) const;
  void fit(const LayerRows& layer);
  void put_constant(const ConstantPlace& place, const at::Tensor& constant);

  SideBySide& sweep_;
  const CompensationOptions& options_;
  std::vector<std::string>& notes_;
  std::vector<std::vector<OpId>> users_;
  std::set<ValueId> outputs_;
};

/// Gives the batch norms of a pruned network new running statistics while a sweep goes through it.
class Recalibrate {
 public:
  explicit Recalibrate(SideBySide& sweep) : sweep_(sweep), users_(sweep.graph().users()) {}
  static bool looks_at(const Op& op) { return op.kind == "aten::batch_norm"; }
  void visit(OpId op);

 private:
  SideBySide& sweep_;
  std::vector<std::vector<OpId>> users_;
};

}  // namespace cpd
