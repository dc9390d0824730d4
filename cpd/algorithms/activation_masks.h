#pragma once

#include <cpd/model/model.h>

#include <string>
#include <vector>

namespace cpd {

/// The network with a mask of ones behind the output of each layer (a module path, as
/// `layer_names` has them) that a pattern means: a buffer `LAYER.activation_mask` of the output's
/// shape for one sample, by which the output is multiplied. The tensors of the network are shared.
/// Throws cpd::Error if a pattern means no layer, or a layer gives no real numbers per sample.
Model with_activation_masks(const Model& model, const std::vector<std::string>& layers);

/// Does a buffer of this name mask activations?
bool is_activation_mask(const std::string& name);
/// Its layer.
std::string masked_layer(const std::string& name);

/// The network with its masks for good: constants, of one element along dimensions along which
/// they do not differ, so that an export has them. Sizes of images are free no more where a mask
/// differs from position to position.
Model with_masks_baked(const Model& model);

}  // namespace cpd
