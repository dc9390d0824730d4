#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/compaction.h>
#include <cpd/dynamic_ops/mutable_channel_container.h>
#include <cpd/dynamic_ops/op_table.h>
#include <cpd/model/execution.h>
#include <cpd/model/model.h>

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

enum class RunMode {
  kMasked,  ///< full widths; removed channels have no influence: what training uses
  kCompact  ///< cut widths, with parameters sliced out of the full ones
};

/// Called after each op with the op (of the graph that runs) and all values; may replace values.
using RunObserver = std::function<void(const Op& op, Tensors& values)>;

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// A combed network with a current keep, for inference and training. With everything kept it
/// computes what the original does, bit for bit. Shares its parameters and buffers with the model
/// that it is made of until `shrink`. Not safe for concurrent runs.
class DynamicModel {
 public:
  /// `combing` must be of `model`. Throws cpd::Error for an op that LibTorch does not know.
  DynamicModel(std::shared_ptr<const Model> model, std::shared_ptr<const Combing> combing,
               const Rules& rules = default_rules(),
               const DynamicOpTable& ops = default_dynamic_ops());
  ~DynamicModel();
  DynamicModel(DynamicModel&&) noexcept;
  DynamicModel& operator=(DynamicModel&&) noexcept;

  const Model& model() const;
  const Combing& combing() const;
  const Rules& rules() const;

  /// What is kept from now on; everything at first. Takes milliseconds: masks are made anew only
  /// where they change, the compact form only when it is needed.
  void set_keep(const Keep& keep);
  const Keep& keep() const;
  const ChannelMasks& masks() const;
  /// The network restricted to the current keep. Throws cpd::Error if that is no rectangle
  /// somewhere.
  const Compaction& compaction() const;

  void set_mode(RunMode mode);  ///< masked at first
  RunMode mode() const;
  /// Training mode switches dropout on and lets batch norm use and update its statistics. Off at
  /// first.
  void train(bool on = true);
  bool is_training() const;

  /// One tensor for each input of the network; returns the tensors of its output structure in
  /// order. Throws cpd::Error if number or rank of the inputs is wrong.
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs,
                                  const RunObserver& observer = nullptr);
  /// For networks with one input and one output.
  at::Tensor forward(const at::Tensor& input);

  /// Trainable tensors by name, in the order of the model's table: handles, not copies.
  NamedTensors named_parameters() const;
  NamedTensors named_buffers() const;

  /// Makes the compact form permanent: the model becomes the compact network, combed anew, which
  /// owns sliced copies of all parameters and trains from then on; everything of it is kept.
  /// Returns how each changed parameter or buffer was cut (for the state of an optimiser).
  std::map<std::string, Gather> shrink();

  /// The containers of a layer's channels, by module path and port (`in_channels`).
  MutableChannelContainer channels(const std::string& layer, const std::string& port) const;
  /// `Model(...)`: layers by module path with their mutable channels. The first line is not
  /// indented.
  std::string text(int indent = 0) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::ostream& operator<<(std::ostream& out, const DynamicModel& model);

}  // namespace cpd
