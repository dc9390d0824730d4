#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/combing.h>

#include <map>
#include <string>
#include <vector>

namespace cpd {

/// Which positions of each dimension of a value are kept.
class KeepMasks {
 public:
  /// The arguments must outlive the masks.
  KeepMasks(const Graph& graph, const Combing& combing, const KeptSizes& sizes)
      : graph_(graph), combing_(combing), sizes_(sizes) {}

  const Graph& graph() const { return graph_; }
  const Shape& shape(ValueId value) const { return graph_.value(value).shape; }
  int rank(ValueId value) const { return static_cast<int>(shape(value).size()); }
  /// A boolean tensor of the value's rank: the extent is the value's along `dim` and along the
  /// dimensions over which the kept positions differ, else 1.
  at::Tensor along(ValueId value, int dim) const;

 private:
  const Graph& graph_;
  const Combing& combing_;
  const KeptSizes& sizes_;
  mutable std::map<int, at::Tensor> cache_;  ///< by array
};

/// Checks that the operands of an op that adds, multiplies, normalises, sums or mixes keep the same
/// positions wherever they meet: from what the op computes, not from its combing rule. Throws
/// cpd::Error with the reason; ops that it does not know pass.
void check_meeting(const Op& op, const KeepMasks& masks);

}  // namespace cpd
