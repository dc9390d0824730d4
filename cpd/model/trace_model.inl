#pragma once

#include <tuple>

namespace cpd {
namespace detail {

template <typename Module>
std::vector<at::Tensor> call_forward(Module& module, const std::vector<at::Tensor>& inputs) {
  if constexpr (requires { at::Tensor(module.forward(inputs[0])); }) {
    if (inputs.size() == 1) return {module.forward(inputs[0])};
  }
  if constexpr (requires { at::Tensor(module.forward(inputs[0], inputs[1])); }) {
    if (inputs.size() == 2) return {module.forward(inputs[0], inputs[1])};
  }
  if constexpr (requires { at::Tensor(module.forward(inputs[0], inputs[1], inputs[2])); }) {
    if (inputs.size() == 3) return {module.forward(inputs[0], inputs[1], inputs[2])};
  }
  if constexpr (requires { std::vector<at::Tensor>(module.forward(inputs)); }) {
    return module.forward(inputs);
  }
  return {};
}

}  // namespace detail

template <typename ModulePointer>
Model trace_model(ModulePointer module, std::initializer_list<at::Tensor> example_inputs,
                  const ImportOptions& options) {
  auto& net = *module;
  Forward forward = [&net](const std::vector<at::Tensor>& inputs) {
    return detail::call_forward(net, inputs);
  };
  return trace_model(net, forward, std::vector<at::Tensor>(example_inputs), options);
}

}  // namespace cpd
