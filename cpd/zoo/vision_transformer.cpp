#include <ATen/ops/cat.h>
#include <ATen/ops/chunk.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/flatten.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/select.h>
#include <ATen/ops/slice.h>
#include <ATen/ops/transpose.h>
#include <cpd/zoo/networks.h>
#include <cpd/zoo/transformer.h>

namespace cpd::zoo {
namespace {

/// One linear layer makes queries, keys and values. Cut in three before heads are made, so that
/// heads may keep other numbers of values than of queries and keys.
class Attention : public Layer {
 public:
  Attention(int64_t embedding, int64_t heads)
      : heads_(heads),
        qkv_(register_module("qkv", linear(embedding, 3 * embedding))),
        proj_(register_module("proj", linear(embedding, embedding))) {}

  at::Tensor forward(const at::Tensor& input) override {
    const auto parts = at::chunk(qkv_->forward(input), 3, -1);
    return proj_->forward(attend(parts[0], parts[1], parts[2], heads_));
  }

 private:
  int64_t heads_;
  LayerPointer qkv_;
  LayerPointer proj_;
};

/// The same with the names of PyTorch's `MultiheadAttention`.
class PackedAttention : public Layer {
 public:
  PackedAttention(int64_t embedding, int64_t heads)
      : heads_(heads),
        weight_(register_parameter("in_proj_weight", at::empty({3 * embedding, embedding}))),
        bias_(register_parameter("in_proj_bias", at::empty({3 * embedding}))),
        out_(register_module("out_proj", linear(embedding, embedding))) {}

  at::Tensor forward(const at::Tensor& input) override {
    const auto parts = at::chunk(at::linear(input, weight_, bias_), 3, -1);
    return out_->forward(attend(parts[0], parts[1], parts[2], heads_));
  }

 private:
  int64_t heads_;
  at::Tensor weight_;
  at::Tensor bias_;
  LayerPointer out_;
};

LayerPointer patches(const TransformerSizes& sizes) {
  return convolution(sizes.channels, sizes.embedding,
                     {.size = sizes.patch, .stride = sizes.patch, .bias = true});
}

int64_t positions(const TransformerSizes& sizes) { return 1 + sizes.rows * sizes.columns; }

/// (N, embedding, rows, columns) of patches as tokens, the class token before them.
at::Tensor with_class_token(const at::Tensor& map, const at::Tensor& class_token) {
  const at::Tensor tokens = at::transpose(at::flatten(map, 2), 1, 2);
  return at::cat({class_token.expand_as(at::slice(tokens, 1, 0, 1)), tokens}, 1);
}

LayerPointer deit_block(const TransformerSizes& sizes) {
  const int64_t width = sizes.embedding;
  auto mlp = std::make_shared<Chain>();
  mlp->add("fc1", linear(width, 4 * width)).add("act", gelu()).add("fc2", linear(4 * width, width));
  return std::make_shared<TransformerBlock>(
      TransformerBlock::Part{"norm1", layer_norm(width)},
      TransformerBlock::Part{"attn", std::make_shared<Attention>(width, sizes.heads)},
      TransformerBlock::Part{"norm2", layer_norm(width)}, TransformerBlock::Part{"mlp", mlp});
}

class Deit : public VisionTransformer {
 public:
  Deit(const TransformerSizes& sizes, int64_t classes) {
    const int64_t width = sizes.embedding;
    class_token_ = register_parameter("cls_token", at::empty({1, 1, width}));
    positions_ = register_parameter("pos_embed", at::empty({1, positions(sizes), width}));
    auto embed = std::make_shared<Chain>();
    embed->add("proj", patches(sizes));
    patches_ = register_module("patch_embed", std::move(embed));
    for (int64_t i = 0; i < sizes.depth; ++i) blocks_.push_back(deit_block(sizes));
    register_module("blocks", chain(blocks_));
    if (classes == 0) return;
    norm_ = register_module("norm", layer_norm(width));
    head_ = register_module("head", linear(width, classes));
  }
};

LayerPointer vit_block(const TransformerSizes& sizes) {
  const int64_t width = sizes.embedding;
  auto mlp = std::make_shared<Chain>();
  mlp->add("0", linear(width, 4 * width)).add("1", gelu()).add("3", linear(4 * width, width));
  return std::make_shared<TransformerBlock>(
      TransformerBlock::Part{"ln_1", layer_norm(width)},
      TransformerBlock::Part{"self_attention",
                             std::make_shared<PackedAttention>(width, sizes.heads)},
      TransformerBlock::Part{"ln_2", layer_norm(width)}, TransformerBlock::Part{"mlp", mlp});
}

class Vit : public VisionTransformer {
 public:
  Vit(const TransformerSizes& sizes, int64_t classes) {
    const int64_t width = sizes.embedding;
    class_token_ = register_parameter("class_token", at::empty({1, 1, width}));
    patches_ = register_module("conv_proj", patches(sizes));
    auto encoder = register_module("encoder", std::make_shared<Chain>());
    positions_ =
        encoder->register_parameter("pos_embedding", at::empty({1, positions(sizes), width}));
    auto layers = std::make_shared<Chain>();
    for (int64_t i = 0; i < sizes.depth; ++i) {
      blocks_.push_back(vit_block(sizes));
      layers->add("encoder_layer_" + std::to_string(i), blocks_.back());
    }
    encoder->register_module("layers", std::move(layers));
    if (classes == 0) return;
    norm_ = encoder->register_module("ln", layer_norm(width));
    auto heads = std::make_shared<Chain>();
    heads->add("head", linear(width, classes));
    head_ = register_module("heads", std::move(heads));
  }
};

}  // namespace

std::vector<at::Tensor> VisionTransformer::tokens(const at::Tensor& image) {
  at::Tensor value = with_class_token(patches_->forward(image), class_token_) + positions_;
  std::vector<at::Tensor> values;
  for (const LayerPointer& block : blocks_) {
    value = block->forward(value);
    values.push_back(value);
  }
  return values;
}

at::Tensor VisionTransformer::forward(const at::Tensor& image) {
  const at::Tensor last = tokens(image).back();
  return head_ ? head_->forward(at::select(norm_->forward(last), 1, 0)) : last;
}

std::shared_ptr<VisionTransformer> deit(const TransformerSizes& sizes, int64_t classes) {
  return std::make_shared<Deit>(sizes, classes);
}

std::shared_ptr<VisionTransformer> vit(const TransformerSizes& sizes, int64_t classes) {
  return std::make_shared<Vit>(sizes, classes);
}

std::shared_ptr<ZooNetwork> make_deit(const NetworkSpec& spec) {
  return deit(transformer_sizes(spec), spec.classes);
}

std::shared_ptr<ZooNetwork> make_vit(const NetworkSpec& spec) {
  return vit(transformer_sizes(spec), spec.classes);
}

}  // namespace cpd::zoo
