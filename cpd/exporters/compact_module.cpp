#include <ATen/core/grad_mode.h>
#include <cpd/core/error.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/exporters/compact_module.h>
#include <cpd/exporters/graph_writer_internal.h>
#include <cpd/model/execution.h>

#include <unordered_map>
#include <unordered_set>

namespace cpd {
namespace {

/// A module without a forward of its own.
class Part : public torch::nn::Module {};

}  // namespace

struct CompactModule::State {
  explicit State(const Model& model) : execution(model.graph), tensors(model.graph.values.size()) {
    for (const auto& entry : model.parameters) {
      const bool trains = entry.tensor.requires_grad();
      const at::Tensor copy = entry.tensor.detach().clone().set_requires_grad(trains);
      by_name[entry.name] = copy;
      for (const auto& alias : entry.aliases) by_name[alias] = copy;
      if (entry.value >= 0) tensors[static_cast<size_t>(entry.value)] = copy;
    }
    for (const auto& name : exporters::batch_counters(model)) counters.push_back(by_name.at(name));
  }

  /// Registers the tensors of one module of the skeleton and goes down to its submodules.
  void register_tree(const torch::jit::Module& source, const std::string& prefix,
                     torch::nn::Module& target) {
    const auto type = source.type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const std::string& name = type->getAttributeName(i);
      if (type->getAttribute(i)->is_module()) {
        const auto part = target.register_module(name, std::make_shared<Part>());
        register_tree(source.attr(name).toModule(), prefix + name + ".", *part);
        continue;
      }
      const auto known = by_name.find(prefix + name);
      if (known == by_name.end()) continue;
      const bool trains = known->second.requires_grad();
      if (type->is_parameter(i)) target.register_parameter(name, known->second, trains);
      if (type->is_buffer(i)) target.register_buffer(name, known->second);
      registered.insert(known->second.unsafeGetTensorImpl());
    }
  }

  /// Constants are no part of the module: they follow the input to its device here.
  Tensors bound(const std::vector<at::Tensor>& inputs) {
    const Graph& graph = execution.graph();
    if (inputs.size() != graph.inputs.size()) {
      throw Error("the network got " + std::to_string(inputs.size()) + " inputs", {},
                  std::to_string(graph.inputs.size()));
    }
    for (auto& tensor : tensors) {
      const bool constant = tensor.defined() && registered.count(tensor.unsafeGetTensorImpl()) == 0;
      if (constant && tensor.dim() > 0) tensor = tensor.to(inputs.front().device());
    }
    Tensors values = tensors;
    for (size_t i = 0; i < inputs.size(); ++i) {
      values[static_cast<size_t>(graph.inputs[i])] = inputs[i];
    }
    return values;
  }

  Execution execution;
  Tensors tensors;
  std::unordered_map<std::string, at::Tensor> by_name;
  std::vector<at::Tensor> counters;
  std::unordered_set<const void*> registered;
};

CompactModule::CompactModule(const Model& model)
    : torch::nn::Module("CompactModule"), state_(std::make_unique<State>(model)) {
  if (!model.skeleton) throw Error("the model has no module tree", {}, "a model made by an import");
  state_->register_tree(*model.skeleton, "", *this);
  eval();
}

CompactModule::~CompactModule() = default;

const Graph& CompactModule::graph() const { return state_->execution.graph(); }

std::vector<at::Tensor> CompactModule::forward(const std::vector<at::Tensor>& inputs) {
  if (is_training()) {
    const c10::AutoGradMode no_grad(false);
    for (auto& counter : state_->counters) counter.add_(1);
  }
  Tensors values = state_->bound(inputs);
  return state_->execution.run(values, is_training());
}

at::Tensor CompactModule::forward(const at::Tensor& input) {
  auto outputs = forward(std::vector<at::Tensor>{input});
  if (outputs.size() != 1) {
    throw Error("the network returns " + std::to_string(outputs.size()) + " tensors", {},
                "a network with one output, or a call with a list of inputs");
  }
  return outputs.front();
}

std::shared_ptr<CompactModule> export_module(const Model& model) {
  return std::make_shared<CompactModule>(model);
}

std::shared_ptr<CompactModule> export_module(const Model& model, const Compaction& compaction) {
  return export_module(compact_model(model, compaction));
}

}  // namespace cpd
