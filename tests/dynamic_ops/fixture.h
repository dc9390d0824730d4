#pragma once

#include <cpd/dynamic_ops/dynamic_model.h>
#include <torch/script.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

namespace cpd::testing {

/// A parameter or buffer by its dotted name. Buffers: names that hold `running_` or `num_batches`.
struct NamedShape {
  std::string name;
  Shape shape;
};

/// A small network in TorchScript with a module tree made of the dotted names.
struct Source {
  std::string name;
  std::vector<NamedShape> tensors;
  std::string forward;  ///< `def forward(self, x): ...`
  Shape input;
};

/// Shown by the test runner.
inline std::ostream& operator<<(std::ostream& out, const Source& source) {
  return out << source.name;
}

struct TreeModule {
  std::vector<std::pair<std::string, NamedShape>> own;  ///< attribute, tensor
  std::vector<std::pair<std::string, TreeModule>> children;
};

inline void insert(TreeModule& tree, const std::string& path, const NamedShape& tensor) {
  const auto dot = path.find('.');
  if (dot == std::string::npos) {
    tree.own.emplace_back(path, tensor);
    return;
  }
  const std::string head = path.substr(0, dot);
  auto found = std::find_if(tree.children.begin(), tree.children.end(),
                            [&](const auto& child) { return child.first == head; });
  if (found == tree.children.end()) {
    tree.children.emplace_back(head, TreeModule());
    found = tree.children.end() - 1;
  }
  insert(found->second, path.substr(dot + 1), tensor);
}

inline at::Tensor random_weight(const NamedShape& tensor, at::Generator& generator) {
  const auto has = [&](const char* text) { return tensor.name.find(text) != std::string::npos; };
  if (has("num_batches")) return torch::zeros({}, torch::kLong);
  if (has("running_var")) return torch::rand(tensor.shape, generator, torch::kDouble) + 0.5;
  return torch::randn(tensor.shape, generator, torch::kDouble) * 0.5 + 0.1;
}

inline torch::jit::Module grown(const TreeModule& tree, const std::string& type,
                                const std::shared_ptr<torch::jit::CompilationUnit>& unit,
                                at::Generator& generator) {
  torch::jit::Module module(c10::QualifiedName(type), unit, true);
  module.register_attribute("training", c10::BoolType::get(), false);
  for (const auto& [attribute, tensor] : tree.own) {
    const bool buffer = tensor.name.find("running_") != std::string::npos ||
                        tensor.name.find("num_batches") != std::string::npos;
    at::Tensor weight = random_weight(tensor, generator);
    if (!buffer) weight.set_requires_grad(true);
    module.register_parameter(attribute, weight, buffer);
  }
  for (const auto& [name, child] : tree.children) {
    module.register_module(name, grown(child, type + "_" + name, unit, generator));
  }
  return module;
}

/// The network in double precision, weights drawn from a fixed seed: two calls give equal twins.
inline torch::jit::Module module_of(const Source& source) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(11);
  TreeModule tree;
  for (const auto& tensor : source.tensors) insert(tree, tensor.name, tensor);
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  auto module = grown(tree, "__torch__.Net", unit, generator);
  module.define(source.forward);
  return module;
}

inline at::Tensor example(const Source& source, int64_t batch, uint64_t seed = 3) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  Shape shape = source.input;
  shape[0] = batch;
  return torch::randn(shape, generator, torch::kDouble);
}

/// A twin of the network, imported and combed.
inline DynamicModel dynamic_model_of(const Source& source) {
  auto model =
      std::make_shared<const Model>(import_module(module_of(source), {example(source, 2)}));
  auto combing = std::make_shared<const Combing>(comb(*model));
  return DynamicModel(model, combing);
}

/// Keeps about half of every group, the same number in each block, at least one; another choice
/// for another seed.
inline Keep half_of(const Combing& combing, uint64_t seed) {
  std::mt19937_64 random(seed);
  Keep keep(combing);
  for (const auto& group : combing.groups) {
    const auto kept = std::max<int64_t>(1, group.of / 2 + static_cast<int64_t>(random() % 2));
    for (const auto& block : group.blocks) {
      auto order = block;
      std::shuffle(order.begin(), order.end(), random);
      for (size_t i = static_cast<size_t>(kept); i < order.size(); ++i) keep.set(order[i], false);
    }
  }
  return keep;
}

/// max|a - b| / max|b|, absolute where b is zero.
inline double error_of(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return 1e9;
  if (a.numel() == 0) return 0;
  const double difference = (a.detach() - b.detach()).abs().max().item<double>();
  const double scale = b.detach().abs().max().item<double>();
  return scale > 0 ? difference / scale : difference;
}

}  // namespace cpd::testing
