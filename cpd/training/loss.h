#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/data/loader.h>

#include <functional>
#include <vector>

namespace cpd {

/// The loss of a batch, a mean over its samples, from the network's outputs.
using Loss = std::function<at::Tensor(const std::vector<at::Tensor>& outputs, const Batch& batch)>;

/// Logits that fit their labels: (N, C) for classes (N), (N, C, H, W) for label maps (N, H, W),
/// enlarged bilinearly where the maps are larger. Float. Throws cpd::Error if ranks or the number
/// of samples do not fit or a label has no output.
at::Tensor fitted_logits(const at::Tensor& logits, const at::Tensor& labels);

/// Mean cross entropy of the first output with the labels, positions of `kIgnoredPixel` left out of
/// label maps. `smoothing`: share of the target spread over all classes.
at::Tensor cross_entropy(const std::vector<at::Tensor>& outputs, const Batch& batch,
                         double smoothing = 0);
/// The same as a loss of a run.
Loss smoothed_cross_entropy(double smoothing);

}  // namespace cpd
