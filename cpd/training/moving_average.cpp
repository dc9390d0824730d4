#include <ATen/core/grad_mode.h>
#include <cpd/core/error.h>
#include <cpd/training/moving_average.h>

#include <algorithm>

namespace cpd {

std::map<std::string, at::Tensor> all_tensors(const Trainable& network) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : network.parameters()) tensors[name] = tensor;
  for (const auto& [name, tensor] : network.buffers()) tensors[name] = tensor;
  return tensors;
}

void copy_tensors(const std::map<std::string, at::Tensor>& from,
                  const std::map<std::string, at::Tensor>& to) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : to) {
    const auto found = from.find(name);
    if (found == from.end()) throw Error("there are no values for '" + name + "'");
    if (found->second.sizes() != tensor.sizes()) {
      throw Error("the values of '" + name + "' have another shape than the network's");
    }
  }
  for (const auto& [name, tensor] : from) {
    if (to.count(name) == 0) throw Error("the network has no '" + name + "'");
  }
  for (const auto& [name, tensor] : to) tensor.copy_(from.at(name));
}

MovingAverage::MovingAverage(const Trainable& network, double decay) : decay_(decay) {
  for (const auto& [name, tensor] : all_tensors(network)) tensors_[name] = tensor.detach().clone();
}

void MovingAverage::update(const Trainable& network, int64_t step) {
  const at::NoGradGuard no_grad;
  const auto steps = static_cast<double>(step);
  const double decay = std::min(decay_, (1 + steps) / (10 + steps));
  for (const auto& [name, tensor] : all_tensors(network)) {
    at::Tensor& average = tensors_.at(name);
    if (average.is_floating_point()) {
      average.lerp_(tensor, 1 - decay);
    } else {
      average.copy_(tensor);
    }
  }
}

void MovingAverage::exchange(const Trainable& network) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : all_tensors(network)) {
    at::Tensor& average = tensors_.at(name);
    const at::Tensor present = tensor.detach().clone();
    tensor.copy_(average);
    average.copy_(present);
  }
}

void MovingAverage::set_tensors(const std::map<std::string, at::Tensor>& tensors) {
  copy_tensors(tensors, tensors_);
}

void MovingAverage::cut(const StateCut& cut) {
  for (auto& [name, tensor] : tensors_) tensor = cut(name, tensor);
  std::erase_if(tensors_, [](const auto& entry) { return !entry.second.defined(); });
}

}  // namespace cpd
