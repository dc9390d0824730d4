// A training loop of one's own with a pruning hook: every 20 updates the network loses some of its
// channels, until 40 % of its parameters are gone; then it is written to a file, verified, and the
// loop goes on with what is left.
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/relu.h>
#include <cpd/algorithms/pruning_hook.h>
#include <cpd/cpd.h>
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

  torch::nn::Linear first = torch::nn::Linear(6, 32);
  torch::nn::Linear second = torch::nn::Linear(32, 32);
  torch::nn::Linear last = torch::nn::Linear(32, 1);
};

int main() {
  auto network = std::make_shared<Network>();
  const auto inputs = cpd::random_input(cpd::input({64, 6}), 0);
  const auto targets = inputs.sum(1, true).tanh();
  cpd::ChannelMutator mutator(cpd::trace_model(network, {inputs}), {.importance = "fisher"});

  cpd::PruningHookOptions options;
  options.interval = 20;
  options.prunings = 5;
  options.save_sparsity_thr = {0.4};
  options.work_dir = "pruning_hook";
  cpd::PruningHook hook(mutator, options);
  hook.network().train(true);
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : hook.network().parameters()) parameters.push_back(tensor);
  torch::optim::SGD optimiser(parameters, torch::optim::SGDOptions(0.05).momentum(0.9));
  hook.attach(optimiser);

  double first = 0, last = 0;
  for (int64_t i = 1; i <= 300; ++i) {
    optimiser.zero_grad();
    const auto loss = at::mse_loss(hook.network().forward(inputs), targets);
    loss.backward();
    optimiser.step();
    if (hook.after_iteration(i)) {
      std::cout << "after " << i << " updates: pruning " << hook.prunings() << "\n";
    }
    if (i == 1) first = loss.item<double>();
    last = loss.item<double>();
  }
  for (const auto& path : hook.exports()) std::cout << "written: " << path << "\n";
  const auto costs = mutator.cost().parameters, dense = mutator.costs().dense().parameters;
  std::cout << "60 % of the parameters or less: " << (10 * costs <= 6 * dense ? "yes" : "no")
            << "\nthe network has learnt: " << (last < 0.2 * first ? "yes" : "no") << "\n";
}
