#pragma once

#include <cpd/model/model.h>

#include <functional>

namespace cpd {

/// Runs the network that a model was made of.
using Original = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

/// The batch size that is tried beside another one: small, and not 1.
int64_t another_batch(int64_t batch);

/// Inputs of another batch size or another height and width, made of slices of the given ones;
/// empty if there is no such dimension.
std::vector<at::Tensor> with_another_batch(const std::vector<at::Tensor>& inputs, int batch_dim);
std::vector<at::Tensor> with_another_image_size(const std::vector<at::Tensor>& inputs);

/// The largest relative difference at which the graph counts as equal to its original.
double accepted_difference(const std::vector<at::Tensor>& outputs);

/// Compares the model's graph with the original on the example inputs (throws cpd::Error if they
/// differ), on a second batch size and on another height and width. Fills `Model::free`, and turns
/// sizes that nothing can change into constants. `training`: the original runs in training mode.
void probe_sizes(Model& model, const Original& original, const ImportOptions& options,
                 bool training = false);

}  // namespace cpd
