#pragma once

#include <cpd/algorithms/shrinking_network.h>
#include <cpd/exporters/export_pruned.h>
#include <support/network.h>
#include <torch/script.h>
#include <training/fixture.h>

#include <algorithm>

namespace cpd::testing {

/// Masked, compact and exported on these images: the largest relative error between them.
inline double disagreement(ShrinkingNetwork& network, const at::Tensor& images,
                           const std::string& folder) {
  ChannelMutator& mutator = network.mutator();
  network.write_back();
  const torch::NoGradGuard no_grad;
  const TrainingMode mode(network, false);
  mutator.model().train(false);
  const at::Tensor compact = network.forward(images);
  const at::Tensor masked = mutator.model().forward(images);
  const std::string path = folder + "/disagreement.pt";
  export_torchscript(mutator, path, {.force = true});
  const at::Tensor exported = torch::jit::load(path).forward({images}).toTensor();
  return std::max(relative_error(masked, compact), relative_error(exported, compact));
}

}  // namespace cpd::testing
