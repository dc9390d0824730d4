#pragma once

#include <cpd/dynamic_ops/dynamic_op.h>

namespace cpd {

/// `prelu(self, weight)`: each channel by itself.
class DynamicPReLU : public PassThroughOp {
 public:
  using PassThroughOp::PassThroughOp;
  std::optional<LayerText> describe() const override;
};

/// `embedding(weight, indices)`: rows are looked up whole.
class DynamicEmbedding : public PassThroughOp {
 public:
  using PassThroughOp::PassThroughOp;
  std::optional<LayerText> describe() const override;
};

/// An elementwise op that is not finite everywhere (`div`, `log`, `rsqrt`): removed positions get a
/// harmless operand, so that neither they nor their gradients become infinite.
class GuardedOp : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
};

/// `sum` and `mean`: removed positions count as zero; a mean is divided by the number of kept ones.
class DynamicReduction : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;

 private:
  std::vector<int> reduced_dims() const;
};

}  // namespace cpd
