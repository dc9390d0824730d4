#include "oracle.h"

#include <torch/script.h>

#include <algorithm>
#include <limits>

namespace cpd::coverage {
namespace {

void collect(const torch::jit::IValue& value, TensorList& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) collect(item, tensors);
  } else if (value.isList()) {
    for (const torch::jit::IValue& item : value.toListRef()) collect(item, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& item : value.toGenericDict()) collect(item.value(), tensors);
  }
}

/// 1 where the kept lists of one dimension keep an element of a tensor of this shape.
at::Tensor kept_mask(at::IntArrayRef shape, int64_t dim, const DimensionPlan& plan) {
  std::vector<int64_t> extents(shape.size(), 1);
  for (int64_t along : plan.along) extents[static_cast<size_t>(along)] = shape[along];
  int64_t rows = 1;
  for (int64_t extent : extents) rows *= extent;
  at::Tensor mask = torch::zeros({rows, shape[dim]}, torch::kBool);
  const auto lists = static_cast<int64_t>(plan.kept.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t index : plan.kept[static_cast<size_t>(row * lists / rows)]) {
      mask.index_put_({row, index}, true);
    }
  }
  extents.push_back(shape[dim]);
  return mask.view(extents).transpose(dim, -1).squeeze(-1);
}

std::vector<int64_t> planned_shape(const std::string& name, const at::Tensor& dense,
                                   const Plan& plan) {
  std::vector<int64_t> shape = dense.sizes().vec();
  const auto found = plan.parameters.find(name);
  if (found == plan.parameters.end()) return shape;
  for (const auto& [dim, kept] : found->second) {
    shape[static_cast<size_t>(dim)] = static_cast<int64_t>(kept.kept.front().size());
  }
  return shape;
}

using Named = std::vector<std::pair<std::string, at::Tensor>>;

template <typename Slots>
Named named(const Slots& slots) {
  Named result;
  for (const auto& entry : slots) result.emplace_back(entry.name, entry.value);
  return result;
}

std::string compare_tensors(const Named& dense, const Named& pruned, const Plan& plan) {
  for (size_t i = 0; i < dense.size(); ++i) {
    const auto& [name, tensor] = dense[i];
    if (i >= pruned.size()) return "'" + name + "' is missing";
    const auto& [found, other] = pruned[i];
    if (found != name) return "'" + found + "' stands for '" + name + "'";
    if (other.sizes().vec() != planned_shape(name, tensor, plan)) {
      return "'" + name + "' has another shape than planned";
    }
  }
  return pruned.size() == dense.size() ? "" : "'" + pruned[dense.size()].first + "' is new";
}

}  // namespace

TensorList run_file(const torch::jit::Module& module, const TensorList& inputs) {
  const torch::NoGradGuard no_grad;
  torch::jit::Module runnable = module;
  TensorList outputs;
  collect(runnable.forward({inputs.begin(), inputs.end()}), outputs);
  return outputs;
}

void to_double(torch::jit::Module& module) {
  const auto widen = [](at::Tensor tensor) {
    if (tensor.is_floating_point()) tensor.set_data(tensor.to(torch::kDouble));
  };
  for (const at::Tensor& parameter : module.parameters()) widen(parameter);
  for (const at::Tensor& buffer : module.buffers()) widen(buffer);
}

void zero_readers(torch::jit::Module& dense, const Plan& plan) {
  const torch::NoGradGuard no_grad;
  for (const auto& parameter : dense.named_parameters()) {
    const auto found = plan.parameters.find(parameter.name);
    if (found == plan.parameters.end()) continue;
    at::Tensor weight = parameter.value;
    for (const auto& [dim, kept] : found->second) {
      if (kept.role.find("reader") == std::string::npos) continue;
      const at::Tensor mask = kept_mask(weight.sizes(), dim, kept);
      weight.copy_(torch::where(mask, weight, torch::zeros_like(weight)));
    }
  }
}

std::string compare_names(const torch::jit::Module& dense, const torch::jit::Module& pruned,
                          const Plan& plan) {
  const std::string parameters =
      compare_tensors(named(dense.named_parameters()), named(pruned.named_parameters()), plan);
  if (!parameters.empty()) return parameters;
  return compare_tensors(named(dense.named_buffers()), named(pruned.named_buffers()), plan);
}

double error_between(const TensorList& a, const TensorList& b) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return infinite;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].sizes() != b[i].sizes()) return infinite;
    const at::Tensor left = a[i].to(torch::kDouble), right = b[i].to(torch::kDouble);
    const double error = (left - right).abs().max().item<double>();
    if (error == 0) continue;
    const double relative = error / right.abs().max().item<double>();
    largest = std::max(largest, std::isnan(relative) ? infinite : relative);
  }
  return largest;
}

}  // namespace cpd::coverage
