#include <cpd/core/error.h>
#include <cpd/exporters/graph_writer_internal.h>
#include <cpd/exporters/rebuild_internal.h>

#include <unordered_map>

namespace cpd::exporters {
namespace {

using torch::jit::Module;

/// Copies a module tree into classes of its own, one for each instance. Tensors that the table has
/// no more, and modules that had no others, are left out.
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
      if (is_dropped(value.toModule(), prefix + name + ".")) return;
      target.register_module(name, copy(value.toModule(), prefix + name + "."));
      return;
    }
    const auto known = tensors_.find(prefix + name);
    if (known != tensors_.end()) value = known->second;
    if (known == tensors_.end() && is_tensor(source, slot)) return;
    target.register_attribute(name, type->getAttribute(slot), value, type->is_parameter(slot),
                              type->is_buffer(slot));
  }

  static bool is_tensor(const Module& source, size_t slot) {
    const auto type = source.type();
    const bool owned = type->is_parameter(slot) || type->is_buffer(slot);
    return owned && source._ivalue()->getSlot(slot).isTensor() &&
           source._ivalue()->getSlot(slot).toTensor().defined();
  }

  /// Had the module tensors, and are all of them gone?
  bool is_dropped(const Module& source, const std::string& prefix) const {
    bool had = false;
    const auto type = source.type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const std::string name = prefix + type->getAttributeName(i);
      if (type->getAttribute(i)->is_module()) {
        const Module part = source.attr(type->getAttributeName(i)).toModule();
        if (has_tensor(part)) {
          had = true;
          if (!is_dropped(part, name + ".")) return false;
        }
      } else if (is_tensor(source, i)) {
        had = true;
        if (tensors_.count(name) > 0) return false;
      }
    }
    return had;
  }

  static bool has_tensor(const Module& module) {
    return module.parameters().size() > 0 || module.buffers().size() > 0;
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
