#pragma once

#include <torch/nn/module.h>

#include <string>
#include <utility>
#include <vector>

namespace cpd::zoo {

/// A module from a tensor to a tensor.
class Layer : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& input) = 0;
};
using LayerPointer = std::shared_ptr<Layer>;

/// Everything about a convolution but its channels.
struct Kernel {
  int64_t size = 3;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;
  bool bias = false;
};

// The layers hold uninitialised parameters until `initialise` draws them. Unlike LibTorch's own,
// they draw nothing from the global generator and cost little to compile.

LayerPointer convolution(int64_t in, int64_t out, Kernel kernel);
LayerPointer batch_norm(int64_t channels, double eps = 1e-5);
/// Normalises over the last dimension.
LayerPointer layer_norm(int64_t channels, double eps = 1e-6);
/// Works on the last dimension.
LayerPointer linear(int64_t in, int64_t out);
LayerPointer relu();
LayerPointer relu6();
LayerPointer gelu();
LayerPointer dropout(double probability);
/// Drops whole channels.
LayerPointer channel_dropout(double probability);
LayerPointer max_pool(int64_t size, int64_t stride, int64_t padding = 0, bool ceil = false);
/// Mean over positions; (N, C, H, W) -> (N, C, size, size).
LayerPointer average_pool(int64_t size);

/// Layers one after the other, named 0, 1, ... unless a name is given.
class Chain : public Layer {
 public:
  Chain() = default;
  explicit Chain(std::vector<LayerPointer> layers);
  Chain& add(LayerPointer layer);
  Chain& add(const std::string& name, LayerPointer layer);
  at::Tensor forward(const at::Tensor& input) override;

 private:
  std::vector<LayerPointer> layers_;
};

std::shared_ptr<Chain> chain(std::vector<LayerPointer> layers);

/// Interpolates (N, C, h, w) bilinearly to the height and width of `like`. A trace follows that
/// size: it is not written down as a number.
at::Tensor resized_like(const at::Tensor& map, const at::Tensor& like);
/// The same by a factor.
at::Tensor scaled(const at::Tensor& map, double factor);

/// Draws every parameter under `module`: convolutions normal with variance 2 / fan-out, linear
/// layers uniform in +-1/sqrt(fan-in), norms one and zero, biases of convolutions zero; tensors
/// that belong to no layer (tokens, positions) normal with deviation 0.02.
void initialise(torch::nn::Module& module, uint64_t seed);

}  // namespace cpd::zoo
