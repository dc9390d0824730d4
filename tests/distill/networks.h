#pragma once

#include <dynamic_ops/fixture.h>

namespace cpd::testing {

/// Two convolutions, a pooling and a linear layer, the first with batch norm.
inline Source small_network(int64_t stem = 8, int64_t mid = 6) {
  return {"small",
          {{"stem.conv.weight", {stem, 3, 3, 3}},
           {"stem.bn.weight", {stem}},
           {"stem.bn.bias", {stem}},
           {"stem.bn.running_mean", {stem}},
           {"stem.bn.running_var", {stem}},
           {"mid.weight", {mid, stem, 3, 3}},
           {"mid.bias", {mid}},
           {"fc.weight", {5, mid}},
           {"fc.bias", {5}}},
          "def forward(self, x):\n"
          "  y = torch.conv2d(x, self.stem.conv.weight, None, [1], [1])\n"
          "  bn = self.stem.bn\n"
          "  y = torch.batch_norm(y, bn.weight, bn.bias, bn.running_mean, bn.running_var, "
          "bn.training, 0.1, 1e-5, True)\n"
          "  y = torch.relu(torch.conv2d(torch.relu(y), self.mid.weight, self.mid.bias))\n"
          "  return torch.linear(y.mean([2, 3]), self.fc.weight, self.fc.bias)\n",
          {2, 3, 6, 6}};
}

/// Its inputs: batches of 3x6x6.
inline std::vector<at::Tensor> images(int64_t batch, uint64_t seed = 3) {
  return {example(small_network(), batch, seed)};
}

/// Takes one step of gradient descent on the model's parameters.
inline void descend(const NamedTensors& parameters, const at::Tensor& loss, double rate) {
  for (const auto& [name, tensor] : parameters) tensor.mutable_grad() = at::Tensor();
  loss.backward();
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : parameters) {
    if (tensor.grad().defined()) tensor.sub_(tensor.grad(), rate);
  }
}

/// The message of the cpd::Error that `act` throws; empty if it throws none.
template <typename Act>
std::string error_text(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace cpd::testing
