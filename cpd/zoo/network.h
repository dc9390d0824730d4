#pragma once

#include <cpd/zoo/zoo.h>
#include <torch/nn/module.h>

namespace cpd {

/// A reference network: images (N, channels, height, width) to logits (N, classes).
class ZooNetwork : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& input) = 0;
};

}  // namespace cpd
