#pragma once

#include <cpd/zoo/zoo.h>
#include <torch/nn/module.h>

#include <vector>

namespace cpd {

/// A reference network: images (N, channels, height, width) to logits, (N, classes) of a
/// classifier, (N, classes, height / 4, width / 4) of a network that segments.
class ZooNetwork : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& image) = 0;
  /// The logits, and those of auxiliary heads after them.
  virtual std::vector<at::Tensor> outputs(const at::Tensor& image) { return {forward(image)}; }
};

}  // namespace cpd
