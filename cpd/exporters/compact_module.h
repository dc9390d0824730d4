#pragma once

#include <cpd/exporters/export.h>
#include <torch/nn/module.h>

#include <memory>
#include <vector>

namespace cpd {

/// A network in memory as a `torch::nn::Module`: submodules, parameters and buffers have the names
/// of the original, `forward` runs the compact graph. Trains like any module; `train()` and
/// `eval()` switch batch norm and dropout; `torch::save` and `torch::load` keep its state.
/// Precision and device follow `to()`.
class CompactModule : public torch::nn::Module {
 public:
  /// Copies the tensors of the model. Throws cpd::Error for an op that LibTorch does not know.
  explicit CompactModule(const Model& model);
  ~CompactModule() override;

  /// The tensors of the network's outputs, in order.
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs);
  /// For networks with one input and one output.
  at::Tensor forward(const at::Tensor& input);

  const Graph& graph() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cpd
