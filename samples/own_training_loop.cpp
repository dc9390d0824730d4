// A training loop of one's own with masks: full widths, removed channels without influence. At the
// end the network is cut and trains on at its smaller size.
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/relu.h>
#include <cpd/cpd.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <iostream>

struct Network : torch::nn::Module {
  Network() {
    register_module("first", first);
    register_module("last", last);
  }
  at::Tensor forward(const at::Tensor& x) { return last->forward(at::relu(first->forward(x))); }

  torch::nn::Linear first = torch::nn::Linear(6, 16);
  torch::nn::Linear last = torch::nn::Linear(16, 1);
};

torch::optim::SGD optimiser_of(const cpd::DynamicModel& model) {
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : model.named_parameters()) parameters.push_back(tensor);
  return torch::optim::SGD(parameters, torch::optim::SGDOptions(0.05));
}

double train(cpd::DynamicModel& model, const at::Tensor& inputs, const at::Tensor& targets) {
  auto optimiser = optimiser_of(model);
  double last = 0;
  for (int step = 0; step < 100; ++step) {
    optimiser.zero_grad();
    const auto loss = at::mse_loss(model.forward(inputs), targets);
    loss.backward();
    optimiser.step();
    last = loss.item<double>();
  }
  return last;
}

int main() {
  auto network = std::make_shared<Network>();
  const auto inputs = cpd::random_input(cpd::input({64, 6}), 0);
  const auto targets = inputs.sum(1, true).tanh();

  cpd::ChannelMutator mutator(cpd::trace_model(network, {inputs}));
  mutator.model().train();
  const double dense = train(mutator.model(), inputs, targets);
  mutator.score();
  mutator.allocate({.ratio = 0.5});
  const double masked = train(mutator.model(), inputs, targets);
  mutator.model().shrink();
  const double compact = train(mutator.model(), inputs, targets);

  std::cout << "each part learns further: "
            << (compact < masked && masked < 1.0 && dense < 1.0 ? "yes" : "no") << "\n";
  for (const auto& [name, tensor] : mutator.model().named_parameters()) {
    std::cout << name << " " << tensor.sizes() << "\n";
  }
}
