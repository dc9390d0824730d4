#include <cpd/core/error.h>
#include <cpd/exporters/graph_writer_internal.h>
#include <cpd/exporters/rebuild_internal.h>

#include <unordered_map>

namespace cpd::exporters {
namespace {

using torch::jit::Module;

/// Copies a module tree into classes of its own, one for each instance.
class TreeCopy {
 public:
  explicit TreeCopy(const Model& model) : unit_(std::make_shared<torch::jit::CompilationUnit>()) {
    for (const auto& entry : model.parameters) {
      const at::Tensor tensor =
          entry.tensor.detach().set_requires_grad(entry.tensor.requires_grad());
      tensors_[entry.name] = tensor;
      for (const auto& alias : entry.aliases) tensors_[alias] = tensor;
    }
  }

  Module copy(const Module& source, const std::string& prefix) {
    const auto type = source.type();
    Module target(*type->name(), unit_, /*shouldMangle=*/true);
    for (size_t i = 0; i < type->numAttributes(); ++i) copy_attribute(source, i, prefix, target);
    for (size_t i = 0; i < type->numConstants(); ++i) {
      target.type()->addConstant(type->getConstantName(i), type->getConstant(i));
    }
    return target;
  }

 private:
  void copy_attribute(const Module& source, size_t slot, const std::string& prefix,
                      Module& target) {
    const auto type = source.type();
    const std::string& name = type->getAttributeName(slot);
    c10::IValue value = source.attr(name);
    if (type->getAttribute(slot)->is_module()) {
      target.register_module(name, copy(value.toModule(), prefix + name + "."));
      return;
    }
    const auto known = tensors_.find(prefix + name);
    if (known != tensors_.end()) value = known->second;
    target.register_attribute(name, type->getAttribute(slot), value, type->is_parameter(slot),
                              type->is_buffer(slot));
  }

  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::unordered_map<std::string, at::Tensor> tensors_;
};

bool has_method(const Module& module, const std::string& name) {
  return module.find_method(name).has_value();
}

}  // namespace

Module rebuild(const Model& model) {
  if (!model.skeleton) {
    throw Error("the model has no module tree to rebuild", {}, "a model made by an import");
  }
  Module root = TreeCopy(model).copy(*model.skeleton, "");
  const auto graph = GraphWriter(model, root).write();
  const c10::QualifiedName name(*root.type()->name(), "forward");
  root.type()->addMethod(root._ivalue()->compilation_unit()->create_function(name, graph));
  return root;
}

std::vector<std::string> lost_in_rebuild(const Model& model) {
  std::vector<std::string> lost;
  if (!model.skeleton) return lost;
  size_t submodules = 0;
  for (const auto& module : model.skeleton->modules()) submodules += has_method(module, "forward");
  if (submodules > 1) {
    lost.push_back("submodules have no `forward` of their own any more: call the whole network");
  }
  for (const auto& method : model.skeleton->get_methods()) {
    if (method.name() != "forward") lost.push_back("method `" + method.name() + "` is gone");
  }
  if (!has_method(*model.skeleton, "forward")) return lost;
  const auto method = model.skeleton->get_method("forward");
  const auto& arguments = method.function().getSchema().arguments();
  for (size_t i = model.graph.inputs.size() + 1; i < arguments.size(); ++i) {
    lost.push_back("argument `" + arguments[i].name() + "` has its default value for good");
  }
  return lost;
}

}  // namespace cpd::exporters
