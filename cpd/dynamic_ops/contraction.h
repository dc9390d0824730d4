#pragma once

#include <cpd/dynamic_ops/dynamic_op.h>

namespace cpd {

/// Convolutions of one to three dimensions, transposed and grouped ones too: the weight is masked
/// along the dimensions that are summed over.
class DynamicConv : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
  std::optional<LayerText> describe() const override;

 private:
  bool transposed() const;
  int spatial_dims() const { return rank(op().tensor("weight")) - 2; }
  std::string attributes() const;
};

/// `linear(input, weight, bias)`: columns of the weight are masked.
class DynamicLinear : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
  std::optional<LayerText> describe() const override;
};

/// Matrix products of two values (`matmul`, `bmm`, `addmm` and the like): a parameter among the
/// operands is masked along the contracted dimension; if there is none, both operands are.
class DynamicMatmul : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
};

/// `einsum` and `bilinear`: every operand is masked in all its dimensions.
class DynamicEinsum : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
};

/// `scaled_dot_product_attention`: queries and keys are masked along the columns that are
/// multiplied. The scale stays that of the dense number of columns.
class DynamicAttention : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
};

}  // namespace cpd
