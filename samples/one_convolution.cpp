// An algorithm owns a network of dynamic ops and a mutator. In this one every channel is an output
// of the network: it can be looked at, but not pruned.
#include <cpd/cpd.h>
#include <torch/nn/modules/conv.h>

#include <iostream>

struct Network : torch::nn::Module {
  Network() { register_module("conv", conv); }
  at::Tensor forward(const at::Tensor& x) { return conv->forward(x); }

  torch::nn::Conv2d conv =
      torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 8, 3).stride(1).padding(1));
};

int main() {
  auto network = std::make_shared<Network>();
  const auto example = cpd::random_input(cpd::input({2, 3, 16, 16}), 0);
  cpd::OneShot algorithm(cpd::trace_model(network, {example}), {.budget = {.macs = 0.5}});
  std::cout << algorithm << "\n";
  try {
    algorithm.run();
  } catch (const cpd::Error& error) {
    std::cout << error.what() << "\n";
  }
}
