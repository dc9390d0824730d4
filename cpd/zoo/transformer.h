#pragma once

#include <cpd/zoo/layers.h>
#include <cpd/zoo/network.h>

#include <string>
#include <vector>

// The parts that vision transformers share. Parameters are not initialised yet.

namespace cpd::zoo {

/// Sizes of a plain vision transformer.
struct TransformerSizes {
  int64_t channels = 3;  ///< of the image
  int64_t patch = 16;
  int64_t rows = 14, columns = 14;  ///< of patches
  int64_t embedding = 768;
  int64_t depth = 12;
  int64_t heads = 12;
};
TransformerSizes transformer_sizes(const NetworkSpec& spec);

/// softmax(q kᵀ / sqrt(d)) v in `heads` heads. `query` is (N, positions, embedding), `key` and
/// `value` may have other positions; the result is like the query.
at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  int64_t heads);

/// x + attention(norm(x)), then x + mlp(norm(x)), over (N, positions, embedding).
class TransformerBlock : public Layer {
 public:
  /// Layers in order, each with its name: norm, attention, norm, mlp.
  using Part = std::pair<std::string, LayerPointer>;
  TransformerBlock(const Part& norm1, const Part& attention, const Part& norm2, const Part& mlp);
  at::Tensor forward(const at::Tensor& input) override;

 private:
  LayerPointer norm1_, attention_, norm2_, mlp_;
};

/// A plain vision transformer: patches and a class token, positions, blocks; then, if it is to
/// classify, a norm and a linear layer on the class token.
class VisionTransformer : public ZooNetwork {
 public:
  /// (N, 1 + patches, embedding) after each block of an image; the class token stands first.
  std::vector<at::Tensor> tokens(const at::Tensor& image);
  at::Tensor forward(const at::Tensor& image) override;

 protected:
  at::Tensor class_token_;  ///< (1, 1, embedding)
  at::Tensor positions_;    ///< (1, 1 + patches, embedding)
  LayerPointer patches_;
  std::vector<LayerPointer> blocks_;
  LayerPointer norm_;  ///< null without classes
  LayerPointer head_;
};
/// Named as timm has DeiT: `patch_embed.proj`, `cls_token`, `pos_embed`, `blocks.0.attn.qkv`, ...
/// Without norm and head for 0 classes.
std::shared_ptr<VisionTransformer> deit(const TransformerSizes& sizes, int64_t classes);
/// Named as torchvision has ViT: `conv_proj`, `class_token`, `encoder.layers.encoder_layer_0`, ...
std::shared_ptr<VisionTransformer> vit(const TransformerSizes& sizes, int64_t classes);

}  // namespace cpd::zoo
