// From a TorchScript file to a smaller TorchScript file.
#include <cpd/cpd.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <iostream>

namespace nn = torch::nn;

struct Network : nn::Module {
  Network() {
    register_module("body", body);
    register_module("head", head);
  }
  at::Tensor forward(const at::Tensor& x) { return head->forward(body->forward(x).mean({2, 3})); }

  nn::Sequential body = nn::Sequential(nn::Conv2d(nn::Conv2dOptions(3, 32, 3).padding(1)),
                                       nn::Conv2d(nn::Conv2dOptions(32, 64, 3).padding(1)));
  nn::Linear head = nn::Linear(64, 10);
};

void write_file(const std::string& path) {
  auto network = std::make_shared<Network>();
  network->eval();
  const auto example = cpd::random_input(cpd::input({2, 3, 16, 16}), 0);
  cpd::export_torchscript(cpd::trace_model(network, {example}), path, {.force = true});
}

int main() {
  write_file("dense.pt");

  const cpd::Model model = cpd::load_model("dense.pt", cpd::input({2, 3, 16, 16}));
  cpd::OneShot algorithm(
      model, {.mutator = {.importance = "l2"}, .allocation = "uniform", .budget = {.macs = 0.5}});
  const cpd::Report report = algorithm.run();
  cpd::export_torchscript(algorithm.mutator(), "pruned.pt", {.force = true});

  const double left =
      static_cast<double>(report.after.macs) / static_cast<double>(report.before.macs);
  std::cout << "half of the MACs or less: " << (left <= 0.5 ? "yes" : "no") << "\n";
  const cpd::Model pruned = cpd::load_model("pruned.pt", cpd::input({2, 3, 16, 16}));
  for (const auto& parameter : pruned.parameters) {
    std::cout << parameter.name << " " << parameter.tensor.sizes() << "\n";
  }
}
