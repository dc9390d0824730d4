#pragma once

#include <cpd/dynamic_ops/dynamic_op.h>

#include <string>

namespace cpd {

/// Batch norm owns its mode: in training it updates the running statistics of the kept channels in
/// place, leaves those of removed ones, and counts batches. A momentum of 0 in a graph with a batch
/// counter stands for a cumulative average (`momentum=None`).
class DynamicBatchNorm : public DynamicOp {
 public:
  DynamicBatchNorm(const Model& model, OpId op);
  void run_masked(OpRun& run) const override;
  void run_plain(OpRun& run) const override;
  std::optional<LayerText> describe() const override;

 private:
  at::Tensor counter_;  ///< `num_batches_tracked`; undefined if there is none
};

/// Layer norm counts kept entries only: removed ones are set to the mean of the kept ones, which
/// leaves the mean, and scales the variance by kept / dense; epsilon and the result follow.
class DynamicLayerNorm : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
  std::optional<LayerText> describe() const override;
};

/// Group norm: whole groups need nothing; cut groups are gathered.
class DynamicGroupNorm : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
  std::optional<LayerText> describe() const override;
};

/// Instance norm treats each channel by itself; running statistics of removed channels stay.
class DynamicInstanceNorm : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override;
  std::optional<LayerText> describe() const override;
};

}  // namespace cpd
