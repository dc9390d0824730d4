// From a torch::nn::Module to a smaller one that trains on.
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/relu.h>
#include <cpd/cpd.h>
#include <cpd/exporters/compact_module.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <iostream>

struct Network : torch::nn::Module {
  Network() {
    register_module("first", first);
    register_module("second", second);
    register_module("last", last);
  }
  at::Tensor forward(const at::Tensor& x) {
    return last->forward(at::relu(second->forward(at::relu(first->forward(x)))));
  }

  torch::nn::Linear first = torch::nn::Linear(20, 32);
  torch::nn::Linear second = torch::nn::Linear(32, 24);
  torch::nn::Linear last = torch::nn::Linear(24, 4);
};

int main() {
  auto network = std::make_shared<Network>();
  const auto example = cpd::random_input(cpd::input({16, 20}), 0);
  cpd::OneShot algorithm(cpd::trace_model(network, {example}),
                         {.mutator = {.unit = {.divisor = 4}}, .budget = {.ratio = 0.5}});
  algorithm.run();
  auto module = cpd::export_module(algorithm.mutator());
  for (const auto& parameter : module->named_parameters()) {
    std::cout << parameter.key() << " " << parameter.value().sizes() << "\n";
  }

  const auto labels = at::randint(4, {16}, at::kLong);
  torch::optim::SGD optimiser(module->parameters(), torch::optim::SGDOptions(0.1));
  double first = 0, last = 0;
  for (int step = 0; step < 50; ++step) {
    optimiser.zero_grad();
    const auto loss = at::cross_entropy_loss(module->forward(example), labels);
    loss.backward();
    optimiser.step();
    (step == 0 ? first : last) = loss.item<double>();
  }
  std::cout << "it trains: " << (last < first ? "yes" : "no") << "\n";
}
