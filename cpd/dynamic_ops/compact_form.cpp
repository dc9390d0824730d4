#include <c10/core/GradMode.h>
#include <cpd/dynamic_ops/compact_form.h>

namespace cpd {
namespace {

const Gather* gather_of(const Compaction& compaction, ValueId value) {
  const auto found = compaction.gathers.find(value);
  return found == compaction.gathers.end() ? nullptr : &found->second;
}

/// A value that no entry of the table stands behind any more.
void forget(Graph& graph, ValueId value) {
  graph.values[static_cast<size_t>(value)].kind = ValueKind::kResult;
}

}  // namespace

CompactForm::CompactForm(const Model& model, const Combing& combing, const Keep& keep,
                         const Rules& rules)
    : model_(&model),
      compaction_(compact(model, combing, keep, rules)),
      execution_(compaction_.graph) {
  for (const Op& op : compaction_.graph.ops) {
    for (const char* name : {"running_mean", "running_var"}) {
      const bool written = op.find(name) != nullptr && op.has(name) &&
                           compaction_.gathers.count(op.tensor(name)) > 0;
      if (written) statistics_.insert(op.tensor(name));
    }
  }
}

void CompactForm::bind(Tensors& values) {
  for (const auto& parameter : model_->parameters) {
    if (parameter.value < 0) continue;
    auto& slot = values[static_cast<size_t>(parameter.value)];
    slot = parameter.tensor;
    const auto* how = gather_of(compaction_, parameter.value);
    if (how == nullptr) continue;
    const auto slice = [&](const at::Tensor& full) { return gather(full, *how); };
    // Running statistics change without a new version.
    slot = statistics_.count(parameter.value) > 0
               ? slice(parameter.tensor)
               : slices_.get({parameter.value, {}}, parameter.tensor, slice);
  }
  for (const auto& [value, tensor] : compaction_.constants) {
    values[static_cast<size_t>(value)] = tensor;
  }
}

void CompactForm::bind_constant(ValueId value, Tensors& values) const {
  const auto found = compaction_.constants.find(value);
  if (found != compaction_.constants.end()) values[static_cast<size_t>(value)] = found->second;
}

void CompactForm::write_back(const Tensors& values) const {
  const c10::AutoGradMode no_grad(false);
  for (const ValueId value : statistics_) {
    // The alias keeps the version: the full buffer may be saved for a backward pass that does not
    // need its values.
    auto full = model_->parameter(value).tensor.variable_data();
    full.copy_(scatter(full, values[static_cast<size_t>(value)], compaction_.gathers.at(value)));
  }
}

Model compact_model(const Model& model, const Compaction& compaction) {
  Model result = model;
  result.graph = compaction.graph;
  result.parameters.clear();
  for (size_t i = 0; i < model.parameters.size(); ++i) {
    Parameter parameter = model.parameters[i];
    if (!compaction.dropped.empty() && compaction.dropped[i]) {
      if (parameter.value >= 0) forget(result.graph, parameter.value);
      continue;
    }
    const auto* how = gather_of(compaction, parameter.value);
    const at::Tensor full = parameter.tensor;
    const auto sliced =
        how == nullptr ? full.detach().clone() : gather(full.detach(), *how).clone();
    parameter.tensor = sliced.set_requires_grad(full.requires_grad());
    result.parameters.push_back(std::move(parameter));
  }
  for (const auto& [value, tensor] : compaction.constants) {
    Parameter constant;
    constant.name = "constant_" + std::to_string(value);
    constant.role = ParameterRole::kConstant;
    constant.value = value;
    constant.tensor = tensor;
    result.parameters.push_back(std::move(constant));
  }
  return result;
}

}  // namespace cpd
