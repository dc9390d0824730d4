#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/combing.h>
#include <cpd/model/model.h>

#include <vector>

namespace cpd {

/// All trained weights of each channel of a group: what its layers write and read it with, and what
/// stands between them. Handles of the model's tensors.
class ChannelWeights {
 public:
  ChannelWeights(const Model& model, const Combing& combing, const ChannelGroup& group);

  /// In all blocks together; channel = block * of + index.
  int64_t channels() const { return channels_; }
  /// The Euclidean norm of all weights of each channel: (channels), float.
  at::Tensor norms() const;
  /// Makes the gradient of each weight w of channel c larger by factors[c] * w, where it has one.
  void add_to_gradients(const at::Tensor& factors) const;

 private:
  struct Part {
    at::Tensor weight;
    at::Tensor channels;        ///< of each position; `channels_` where there is none
    Shape extents;              ///< of the positions, broadcast over the weight
    std::vector<int64_t> over;  ///< dimensions along which elements share a position
  };

  int64_t channels_ = 0;
  std::vector<Part> parts_;
};

}  // namespace cpd
