// A mutator makes units of the channels that must be pruned together and draws choices for them.
#include <cpd/cpd.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <iostream>

namespace nn = torch::nn;

struct Network : nn::Module {
  explicit Network(bool norms) {
    const auto convolution = [](int64_t in, int64_t out) {
      return nn::Conv2d(nn::Conv2dOptions(in, out, 3).stride(2).padding(1));
    };
    feature->push_back(convolution(3, 8));
    if (norms) feature->push_back(nn::BatchNorm2d(8));
    feature->push_back(convolution(8, 16));
    if (norms) feature->push_back(nn::BatchNorm2d(16));
    register_module("feature", feature);
    register_module("pool", pool);
    register_module("head", head);
  }

  at::Tensor forward(const at::Tensor& x) {
    return head->forward(pool->forward(feature->forward(x)).flatten(1));
  }

  nn::Sequential feature;
  nn::AdaptiveAvgPool2d pool = nn::AdaptiveAvgPool2d(1);
  nn::Linear head = nn::Linear(16, 1000);
};

int main() {
  for (const bool norms : {false, true}) {
    auto network = std::make_shared<Network>(norms);
    network->eval();
    const auto example = cpd::random_input(cpd::input({2, 3, 32, 32}), 0);
    cpd::ChannelMutator mutator(cpd::trace_model(network, {example}));
    std::cout << cpd::to_json(mutator.sample_choices(0));
  }
}
