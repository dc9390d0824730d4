#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/dynamic_ops/channel_masks.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/dynamic_ops/derived_tensors.h>
#include <cpd/model/execution.h>
#include <cpd/model/model.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cpd {

/// What all ops of a dynamic model share while they run.
struct RunServices {
  const ChannelMasks* masks = nullptr;
  /// The compact form of the current keep, made when it is asked for first.
  std::function<CompactForm&()> compact;
  DerivedTensors* masked_parameters = nullptr;
};

/// One op in the middle of a run: its operands, its results and what is kept.
class OpRun {
 public:
  OpRun(const Model& model, const Execution& execution, OpId op, Tensors& values, bool training,
        const RunServices& services)
      : model_(&model),
        execution_(&execution),
        op_(op),
        values_(&values),
        training_(training),
        services_(&services) {}

  const Op& op() const { return execution_->graph().op(op_); }
  bool training() const { return training_; }
  const ChannelMasks& masks() const { return *services_->masks; }

  const at::Tensor& value(ValueId id) const { return (*values_)[static_cast<size_t>(id)]; }
  void set(ValueId id, at::Tensor tensor) {
    (*values_)[static_cast<size_t>(id)] = std::move(tensor);
  }
  /// The tensor of an argument; undefined if it is absent.
  at::Tensor operand(const std::string& argument) const;
  /// A number argument with the sizes of this run and the training flag.
  Number number(const std::string& argument) const;

  /// Runs the op as it stands in the graph.
  void run() { execution_->run_op(op_, *values_, training_); }
  /// The same with some operands replaced for the length of this call.
  void run_with(const std::map<ValueId, at::Tensor>& operands);
  /// An operand with zeros where it is removed along the given dimensions. Masked parameters are
  /// kept between runs where no gradient is recorded.
  at::Tensor masked(ValueId operand, const std::vector<int>& dims) const;
  bool is_parameter(ValueId value) const {
    return execution_->graph().value(value).kind == ValueKind::kParameter;
  }
  /// Right for every op that has a combing rule: cuts the operands to their compact sizes, runs the
  /// op of the compact graph on them and spreads the results over the full width.
  void run_gathered();

 private:
  const Model* model_;
  const Execution* execution_;
  OpId op_;
  Tensors* values_;
  bool training_;
  const RunServices* services_;
};

/// A dimension of a value that a layer calls its channels.
struct ChannelPort {
  std::string name;  ///< `in_channels`
  ValueId value = -1;
  int dim = 0;
};

/// How a layer prints: `type(attributes ...)` and its mutable channels.
struct LayerText {
  std::string type;        ///< `DynamicConv2d`
  std::string attributes;  ///< `3, 8, kernel_size=(3, 3), stride=(1, 1)`
  std::vector<ChannelPort> ports;
};

/// One op of the graph whose width can change. A masked run computes at full width: the kept
/// entries of every value are those of the compact network, removed entries are finite and have no
/// influence on kept ones, neither forward nor in gradients.
class DynamicOp {
 public:
  /// `model` must outlive the op.
  DynamicOp(const Model& model, OpId op) : model_(&model), op_(op) {}
  virtual ~DynamicOp() = default;
  DynamicOp(const DynamicOp&) = delete;
  DynamicOp& operator=(const DynamicOp&) = delete;

  /// Runs at full width while an operand or a result is cut.
  virtual void run_masked(OpRun& run) const = 0;
  /// Runs where nothing is cut, and in the compact network, where `run` is an op of the compact
  /// graph.
  virtual void run_plain(OpRun& run) const { run.run(); }
  /// How the layer prints; nothing for ops without parameters.
  virtual std::optional<LayerText> describe() const { return std::nullopt; }

 protected:
  const Model& model() const { return *model_; }
  const Graph& graph() const { return model_->graph; }
  const Op& op() const { return model_->graph.op(op_); }
  const Shape& shape(ValueId value) const { return graph().value(value).shape; }
  int rank(ValueId value) const { return static_cast<int>(shape(value).size()); }

 private:
  const Model* model_;
  OpId op_;
};

/// An op that treats every position by itself or only moves positions: runs as it is.
class PassThroughOp : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override { run.run(); }
};

/// An op without a masked form of its own: runs on cut operands.
class GatheredOp : public DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(OpRun& run) const override { run.run_gathered(); }
};

}  // namespace cpd
