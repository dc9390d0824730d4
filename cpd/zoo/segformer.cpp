#include <ATen/ops/cat.h>
#include <ATen/ops/chunk.h>
#include <ATen/ops/flatten.h>
#include <ATen/ops/permute.h>
#include <ATen/ops/transpose.h>
#include <cpd/zoo/networks.h>
#include <cpd/zoo/transformer.h>

#include <array>

// Maps are (N, height, width, channels) between the convolutions, so that no height and no width
// is written down in a trace.

namespace cpd::zoo {
namespace {

at::Tensor channels_first(const at::Tensor& map) { return at::permute(map, {0, 3, 1, 2}); }
at::Tensor channels_last(const at::Tensor& map) { return at::permute(map, {0, 2, 3, 1}); }
at::Tensor tokens_of(const at::Tensor& map) { return at::flatten(map, 1, 2); }

/// Attention to a map that a convolution has shrunk by `reduction`.
class ReducedAttention : public Layer {
 public:
  ReducedAttention(int64_t width, int64_t heads, int64_t reduction)
      : heads_(heads),
        q_(register_module("q", linear(width, width))),
        kv_(register_module("kv", linear(width, 2 * width))),
        proj_(register_module("proj", linear(width, width))) {
    if (reduction == 1) return;
    sr_ = register_module(
        "sr", convolution(width, width, {.size = reduction, .stride = reduction, .bias = true}));
    norm_ = register_module("norm", layer_norm(width, 1e-5));
  }

  at::Tensor forward(const at::Tensor& map) override {
    const at::Tensor seen =
        sr_ ? norm_->forward(channels_last(sr_->forward(channels_first(map)))) : map;
    const auto parts = at::chunk(kv_->forward(tokens_of(seen)), 2, -1);
    const at::Tensor result = attend(q_->forward(tokens_of(map)), parts[0], parts[1], heads_);
    return proj_->forward(result.view_as(map));
  }

 private:
  int64_t heads_;
  LayerPointer q_, kv_, proj_, sr_, norm_;
};

/// Linear layers with a depthwise 3x3 convolution between them, which tells positions apart.
class MixMlp : public Layer {
 public:
  MixMlp(int64_t width, int64_t hidden)
      : fc1_(register_module("fc1", linear(width, hidden))),
        fc2_(register_module("fc2", linear(hidden, width))),
        act_(register_module("act", gelu())) {
    auto depthwise = std::make_shared<Chain>();
    depthwise->add("dwconv",
                   convolution(hidden, hidden, {.padding = 1, .groups = hidden, .bias = true}));
    dwconv_ = register_module("dwconv", std::move(depthwise));
  }

  at::Tensor forward(const at::Tensor& map) override {
    const at::Tensor mixed = dwconv_->forward(channels_first(fc1_->forward(map)));
    return fc2_->forward(act_->forward(channels_last(mixed)));
  }

 private:
  LayerPointer fc1_, fc2_, act_, dwconv_;
};

/// Patches that overlap: a convolution with a stride below its size, and a norm.
class OverlapPatches : public Layer {
 public:
  OverlapPatches(int64_t in, int64_t width, int64_t size, int64_t stride)
      : proj_(register_module(
            "proj",
            convolution(in, width,
                        {.size = size, .stride = stride, .padding = size / 2, .bias = true}))),
        norm_(register_module("norm", layer_norm(width, 1e-5))) {}

  /// (N, channels, height, width) to a map with the channels last.
  at::Tensor forward(const at::Tensor& image) override {
    return norm_->forward(channels_last(proj_->forward(image)));
  }

 private:
  LayerPointer proj_, norm_;
};

struct Stage {
  int64_t width;
  int64_t heads;
  int64_t reduction;
};

LayerPointer segformer_block(const Stage& stage) {
  using Part = TransformerBlock::Part;
  const int64_t width = stage.width;
  return std::make_shared<TransformerBlock>(
      Part{"norm1", layer_norm(width)},
      Part{"attn", std::make_shared<ReducedAttention>(width, stage.heads, stage.reduction)},
      Part{"norm2", layer_norm(width)}, Part{"mlp", std::make_shared<MixMlp>(width, 4 * width)});
}

/// The encoder's four stages, the first of them of width `first`.
std::array<Stage, 4> stages_of(int64_t first) {
  return {{{first, 1, 8}, {2 * first, 2, 4}, {5 * first, 5, 2}, {8 * first, 8, 1}}};
}

/// Hierarchical encoder: `patch_embed1`, `block1.0`, ..., `norm1`, ...
class MixTransformer : public torch::nn::Module {
 public:
  MixTransformer(const NetworkSpec& spec, int64_t first, int64_t depth) {
    int64_t in = spec.channels;
    for (const Stage& stage : stages_of(first)) {
      const std::string number = std::to_string(patches_.size() + 1);
      const bool stem = patches_.empty();
      const int64_t stride = stem && !is_small(spec) ? 4 : 2;
      patches_.push_back(
          register_module("patch_embed" + number,
                          std::make_shared<OverlapPatches>(in, stage.width, stem ? 7 : 3, stride)));
      auto blocks = std::make_shared<Chain>();
      for (int64_t i = 0; i < depth; ++i) blocks->add(segformer_block(stage));
      blocks_.push_back(register_module("block" + number, std::move(blocks)));
      norms_.push_back(register_module("norm" + number, layer_norm(stage.width)));
      in = stage.width;
    }
  }

  /// Maps of the four stages, channels last.
  std::vector<at::Tensor> forward(const at::Tensor& image) {
    std::vector<at::Tensor> maps;
    for (size_t i = 0; i < patches_.size(); ++i) {
      const at::Tensor seen = i == 0 ? image : channels_first(maps.back());
      maps.push_back(norms_[i]->forward(blocks_[i]->forward(patches_[i]->forward(seen))));
    }
    return maps;
  }

 private:
  std::vector<LayerPointer> patches_, blocks_, norms_;
};

/// All levels projected to one width, brought to the finest size, fused by a 1x1 convolution.
class MlpDecoder : public torch::nn::Module {
 public:
  MlpDecoder(int64_t first, int64_t width, int64_t classes) {
    for (const Stage& stage : stages_of(first)) {
      auto projection = std::make_shared<Chain>();
      projection->add("proj", linear(stage.width, width));
      projections_.push_back(register_module("linear_c" + std::to_string(projections_.size() + 1),
                                             std::move(projection)));
    }
    auto fuse = std::make_shared<Chain>();
    fuse->add("conv", convolution(4 * width, width, {.size = 1})).add("bn", batch_norm(width));
    fuse->add("activate", relu());
    fuse_ = register_module("linear_fuse", std::move(fuse));
    dropout_ = register_module("dropout", channel_dropout(0.1));
    classifier_ =
        register_module("linear_pred", convolution(width, classes, {.size = 1, .bias = true}));
  }

  at::Tensor forward(const std::vector<at::Tensor>& levels) {
    std::vector<at::Tensor> maps;
    for (size_t i = 0; i < levels.size(); ++i) {
      const at::Tensor map = channels_first(projections_[i]->forward(levels[i]));
      maps.insert(maps.begin(), i == 0 ? map : resized_like(map, maps.back()));
    }
    return classifier_->forward(dropout_->forward(fuse_->forward(at::cat(maps, 1))));
  }

 private:
  std::vector<LayerPointer> projections_;
  LayerPointer fuse_;
  LayerPointer dropout_;
  LayerPointer classifier_;
};

/// Xie et al.'s network in the size B0, named as its authors do.
class SegFormer : public ZooNetwork {
 public:
  explicit SegFormer(const NetworkSpec& spec) {
    const NetworkSpec published = published_spec(spec.name);
    const int64_t first = spec.embedding > 0 ? spec.embedding : published.embedding;
    const int64_t depth = spec.depth > 0 ? spec.depth : published.depth;
    backbone_ = register_module("backbone", std::make_shared<MixTransformer>(spec, first, depth));
    head_ = register_module("decode_head",
                            std::make_shared<MlpDecoder>(first, 8 * first, spec.classes));
  }

  at::Tensor forward(const at::Tensor& image) override {
    return head_->forward(backbone_->forward(image));
  }

 private:
  std::shared_ptr<MixTransformer> backbone_;
  std::shared_ptr<MlpDecoder> head_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_segformer(const NetworkSpec& spec) {
  return std::make_shared<SegFormer>(spec);
}

}  // namespace cpd::zoo
