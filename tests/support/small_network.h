#pragma once

#include <cpd/zoo/network.h>
#include <support/small_spec.h>
#include <torch/torch.h>

#include <memory>
#include <string>

namespace cpd::testing {

/// The network of `small_spec` in double precision and evaluation mode, with random statistics:
/// the same each time.
inline std::shared_ptr<ZooNetwork> small_network(const std::string& name) {
  auto network = make_network(small_spec(name), 1);
  network->to(torch::kDouble);
  randomise_statistics(*network, 2);
  network->eval();
  return network;
}

/// Random images for it, the same for the same sizes.
inline at::Tensor small_images(int64_t batch, int64_t side = 32) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{4});
  return torch::randn({batch, 3, side, side}, generator, torch::kDouble);
}

}  // namespace cpd::testing
