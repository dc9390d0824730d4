#include <c10/core/GradMode.h>
#include <cpd/dynamic_ops/compact_form.h>

namespace cpd {
namespace {

const Gather* gather_of(const Compaction& compaction, ValueId value) {
  const auto found = compaction.gathers.find(value);
  return found == compaction.gathers.end() ? nullptr : &found->second;
}

}  // namespace

CompactForm::CompactForm(const Model& model, const Combing& combing, const Keep& keep,
                         const Rules& rules)
    : model_(&model),
      compaction_(compact(model, combing, keep, rules)),
      execution_(compaction_.graph),
      bound_versions_(model.parameters.size(), 0) {}

void CompactForm::bind(Tensors& values) {
  for (size_t i = 0; i < model_->parameters.size(); ++i) {
    const auto& parameter = model_->parameters[i];
    if (parameter.value < 0) continue;
    auto& slot = values[static_cast<size_t>(parameter.value)];
    slot = parameter.tensor;
    const auto* how = gather_of(compaction_, parameter.value);
    if (how == nullptr) continue;
    slot = slices_.get({parameter.value, {}}, parameter.tensor,
                       [&](const at::Tensor& full) { return gather(full, *how); });
    if (!slot.is_inference()) bound_versions_[i] = static_cast<int64_t>(slot._version());
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
  for (size_t i = 0; i < model_->parameters.size(); ++i) {
    const auto& parameter = model_->parameters[i];
    const auto* how = parameter.role == ParameterRole::kBuffer && parameter.value >= 0
                          ? gather_of(compaction_, parameter.value)
                          : nullptr;
    if (how == nullptr) continue;
    const auto& slice = values[static_cast<size_t>(parameter.value)];
    if (slice.is_inference() || static_cast<int64_t>(slice._version()) == bound_versions_[i]) {
      continue;
    }
    auto full = parameter.tensor;
    full.copy_(scatter(full, slice, *how));
  }
}

Model compact_model(const Model& model, const Compaction& compaction) {
  Model result = model;
  result.graph = compaction.graph;
  for (auto& parameter : result.parameters) {
    const auto* how = gather_of(compaction, parameter.value);
    const auto& full = parameter.tensor;
    const auto sliced =
        how == nullptr ? full.detach().clone() : gather(full.detach(), *how).clone();
    parameter.tensor = sliced.set_requires_grad(full.requires_grad());
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
