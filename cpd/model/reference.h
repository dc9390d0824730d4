#pragma once

#include <ATen/core/ivalue.h>
#include <cpd/model/model.h>

#include <memory>
#include <vector>

namespace torch::jit {
struct Module;
}

namespace cpd {

/// Puts a module and all its submodules in evaluation mode, and back at the end of its life.
class EvaluationMode {
 public:
  explicit EvaluationMode(const torch::jit::Module& module);
  ~EvaluationMode();
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  std::vector<std::pair<c10::intrusive_ptr<c10::ivalue::Object>, bool>> before_;
};

/// Every tensor of what a network returns, in order; tuples, lists and dicts are looked into.
std::vector<at::Tensor> tensors_in(const c10::IValue& value);

/// What a forward pass returns where gradients are switched on: the way that training takes.
/// Nothing is kept for a backward pass, which would take several times the memory.
std::vector<at::Tensor> unrecorded(const std::function<std::vector<at::Tensor>()>& forward);

/// Seeds LibTorch's own generator, and sets it back at the end of its life.
class SeededRandomness {
 public:
  explicit SeededRandomness(uint64_t seed);
  ~SeededRandomness();
  SeededRandomness(const SeededRandomness&) = delete;
  SeededRandomness& operator=(const SeededRandomness&) = delete;

 private:
  at::Tensor before_;
};

/// The tensors that the module itself returns, in the order of `Graph::output_values`. Buffers that
/// the forward pass writes are restored. Throws std::exception if the network raises.
std::vector<at::Tensor> run_original(const torch::jit::Module& module,
                                     const std::vector<at::Tensor>& inputs);

/// The outputs of the model's graph and the shape of each of its values.
struct GraphRun {
  std::vector<at::Tensor> outputs;
  std::vector<Shape> shapes;
};
/// Running statistics that training mode writes are restored.
GraphRun run_graph(const Model& model, const std::vector<at::Tensor>& inputs,
                   bool training = false);

/// max|a - b| / max|b| over all tensors; infinite where shapes or kinds differ. 0 = equal bits.
double difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b);

}  // namespace cpd
