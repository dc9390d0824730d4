#pragma once

#include <cpd/comb/combing.h>
#include <cpd/comb/residual_blocks.h>
#include <cpd/dynamic_ops/channel_masks.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/importance/statistics.h>
#include <cpd/model/execution.h>

#include <functional>
#include <map>
#include <vector>

namespace cpd {

/// A dense network and its pruned form, run op by op over all batches at once, in evaluation mode
/// and without gradients. An op can be looked at, and its tensors set anew, before the pruned
/// network runs it: one sweep over the graph sees every layer with what the layers before it have
/// become.
class SideBySide {
 public:
  /// What is done on the way, before the pruned network runs certain ops of its graph.
  struct Visitor {
    std::function<bool(const Op&)> looks_at;
    std::function<void(OpId)> visit;
    /// The dense network has run the same op already, and its operands are still there; otherwise
    /// only these are.
    bool needs_outputs = true;
  };

  /// The dense network is `model`; the pruned one is cut out of `changed`, which may have other
  /// values in its tensors. What is given must outlive it.
  SideBySide(const Model& model, const Model& changed, const Combing& combing, const Keep& keep,
             const Rules& rules, const CalibrationData& data);

  /// Goes through the graph once. All batches wait for one another only where the visitor looks:
  /// elsewhere no more than one has both what an op reads and what it gives. `title`: of the
  /// progress shown; empty: none.
  void run(const Visitor& visitor, const std::string& title = "");

  const Graph& graph() const { return form_.execution().graph(); }  ///< the pruned network's
  const Compaction& compaction() const { return form_.compaction(); }
  size_t batches() const { return dense_.size(); }
  int64_t samples(size_t batch) const { return samples_[batch]; }
  int64_t samples() const;
  const at::Tensor& pruned(size_t batch, ValueId value) const { return at(pruned_[batch], value); }
  /// A value of the dense network, as it is and cut to what is kept.
  const at::Tensor& whole(size_t batch, ValueId value) const { return at(dense_[batch], value); }
  at::Tensor dense(size_t batch, ValueId value) const {
    return masks_.cut(at(dense_[batch], value), value);
  }
  /// What the dense network's op reads where the pruned one's reads `operand`: another value if
  /// that stands for the sum of a residual block that was dropped.
  ValueId twin(OpId reader, ValueId operand) const;
  bool is_live(OpId reader, ValueId operand) const {
    return at(pruned_.front(), operand).defined() &&
           at(dense_.front(), twin(reader, operand)).defined();
  }
  /// Do the two networks differ in what is kept of a live operand, or is something cut from it?
  bool differs(OpId reader, ValueId operand) const;

  /// A parameter or buffer of the pruned network.
  const at::Tensor& parameter(ValueId value) const { return at(pruned_.front(), value); }
  void set_parameter(ValueId value, const at::Tensor& tensor);
  /// All that were set, in the dense network's shapes: what is not kept stays as it was.
  std::map<std::string, at::Tensor> values_set() const;

  /// Mean squared difference of the outputs, relative to the mean square of the dense ones. After
  /// `run`.
  double output_error() const;
  /// The same for the pruned network as it was before any parameter was set.
  double output_error_before();

 private:
  /// Adds what the outputs of a batch are off by, and their size.
  void add_error(size_t batch, const Tensors& pruned, double& difference, double& size) const;
  static const at::Tensor& at(const Tensors& values, ValueId value) {
    return values[static_cast<size_t>(value)];
  }
  /// Runs ops of the dense network, from `begin` to before `end`, that are dropped from the other.
  void run_dropped(size_t batch, OpId begin, OpId end);
  /// Runs an op of the pruned network, whose twin has run, and frees what neither needs any more.
  void run_pruned(size_t batch, OpId op, OpId twin);
  static void free_after(const Execution& execution, OpId op, Tensors& values);

  const Model &model_, &changed_;
  DroppedBlocks dropped_;
  Execution execution_;
  ChannelMasks masks_;
  CompactForm form_;
  const CalibrationData& data_;
  std::vector<Tensors> dense_, pruned_;  ///< by batch
  std::vector<int64_t> samples_;
  std::map<ValueId, at::Tensor> set_;
};

}  // namespace cpd
