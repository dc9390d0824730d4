#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/dynamic_ops/dynamic_model.h>

#include <map>
#include <string>
#include <vector>

namespace cpd {

/// Some inner values of one run of a network, by their ids in its graph.
using ValueTensors = std::map<ValueId, at::Tensor>;

/// The value that a name stands for: that of a result of this name, or what the last op of a layer
/// gives. A layer is a module path: its ops are those that read parameters of it, or that the file
/// places in it (`layer1.0.relu`, where the file says so). Throws cpd::Error with the nearest name.
ValueId find_value(const Model& model, const std::string& name);
/// The layers that `find_value` knows, in the order of the ops: `layer1`, `layer1.0`, ...
std::vector<std::string> layer_names(const Model& model);

/// Keeps values of a dynamic model while it runs: `model.forward(x, recorder.observer())`, then
/// `recorder.take()`. Must outlive the run.
class ValueRecorder {
 public:
  explicit ValueRecorder(std::vector<ValueId> wanted);

  RunObserver observer();
  /// What the last run has left, and forgets it. Throws cpd::Error for a value that the network
  /// does not compute (any more).
  ValueTensors take();

 private:
  std::vector<ValueId> wanted_;
  ValueTensors taken_;
};

}  // namespace cpd
