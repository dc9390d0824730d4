#include <ATen/ops/cat.h>
#include <ATen/ops/slice.h>
#include <ATen/ops/transpose.h>
#include <ATen/ops/unflatten.h>
#include <cpd/zoo/networks.h>
#include <cpd/zoo/transformer.h>

#include <array>

namespace cpd::zoo {
namespace {

using Maps = std::vector<at::Tensor>;

/// Convolution, batch norm and ReLU, named as mmsegmentation does.
LayerPointer conv_module(int64_t in, int64_t out, int64_t size) {
  auto layers = std::make_shared<Chain>();
  layers->add("conv", convolution(in, out, {.size = size, .padding = size / 2}));
  layers->add("bn", batch_norm(out));
  layers->add("activate", relu());
  return layers;
}

LayerPointer plain_conv(int64_t channels, int64_t size) {
  auto layers = std::make_shared<Chain>();
  layers->add("conv",
              convolution(channels, channels, {.size = size, .padding = size / 2, .bias = true}));
  return layers;
}

constexpr std::array<double, 4> kScales = {4, 2, 1, 0.5};

/// Maps of one size to a pyramid: each level scaled and convolved.
class Neck : public torch::nn::Module {
 public:
  explicit Neck(int64_t channels) {
    for (size_t i = 0; i < kScales.size(); ++i) {
      lateral_.push_back(plain_conv(channels, 1));
      convs_.push_back(plain_conv(channels, 3));
    }
    register_module("lateral_convs", chain(lateral_));
    register_module("convs", chain(convs_));
  }

  Maps forward(const Maps& maps) {
    Maps result;
    for (size_t i = 0; i < maps.size(); ++i) {
      const at::Tensor map = lateral_[i]->forward(maps[i]);
      result.push_back(convs_[i]->forward(kScales[i] == 1 ? map : scaled(map, kScales[i])));
    }
    return result;
  }

 private:
  std::vector<LayerPointer> lateral_;
  std::vector<LayerPointer> convs_;
};

/// Xiao et al.'s head: pyramid pooling of the coarsest level, a feature pyramid over all levels.
class UperHead : public torch::nn::Module {
 public:
  UperHead(int64_t in, int64_t channels, int64_t classes) {
    for (const int64_t size : {1, 2, 3, 6}) {
      pools_.push_back(chain({average_pool(size), conv_module(in, channels, 1)}));
    }
    register_module("psp_modules", chain(pools_));
    bottleneck_ = register_module("bottleneck", conv_module(in + 4 * channels, channels, 3));
    for (int level = 0; level < 3; ++level) {
      lateral_.push_back(conv_module(in, channels, 1));
      fpn_.push_back(conv_module(channels, channels, 3));
    }
    register_module("lateral_convs", chain(lateral_));
    register_module("fpn_convs", chain(fpn_));
    fpn_bottleneck_ = register_module("fpn_bottleneck", conv_module(4 * channels, channels, 3));
    dropout_ = register_module("dropout", channel_dropout(0.1));
    classifier_ =
        register_module("conv_seg", convolution(channels, classes, {.size = 1, .bias = true}));
  }

  at::Tensor forward(const Maps& levels) {
    Maps laterals;
    for (size_t i = 0; i < lateral_.size(); ++i) {
      laterals.push_back(lateral_[i]->forward(levels[i]));
    }
    laterals.push_back(pooled(levels.back()));
    for (size_t i = lateral_.size(); i > 0; --i) {
      laterals[i - 1] = laterals[i - 1] + resized_like(laterals[i], laterals[i - 1]);
    }
    Maps maps;
    for (size_t i = 0; i < fpn_.size(); ++i) maps.push_back(fpn_[i]->forward(laterals[i]));
    maps.push_back(laterals.back());
    for (size_t i = 1; i < maps.size(); ++i) maps[i] = resized_like(maps[i], maps[0]);
    return classifier_->forward(dropout_->forward(fpn_bottleneck_->forward(at::cat(maps, 1))));
  }

 private:
  at::Tensor pooled(const at::Tensor& map) {
    Maps maps = {map};
    for (const LayerPointer& pool : pools_) maps.push_back(resized_like(pool->forward(map), map));
    return bottleneck_->forward(at::cat(maps, 1));
  }

  std::vector<LayerPointer> pools_;
  LayerPointer bottleneck_;
  std::vector<LayerPointer> lateral_;
  std::vector<LayerPointer> fpn_;
  LayerPointer fpn_bottleneck_;
  LayerPointer dropout_;
  LayerPointer classifier_;
};

/// One convolution and a classifier.
LayerPointer fcn_head(int64_t in, int64_t channels, int64_t classes) {
  auto head = std::make_shared<Chain>();
  head->add("convs", chain({conv_module(in, channels, 3)}));
  head->add("dropout", channel_dropout(0.1));
  head->add("conv_seg", convolution(channels, classes, {.size = 1, .bias = true}));
  return head;
}

/// The head over a plain vision transformer, with an auxiliary head on the coarsest level: named
/// as mmsegmentation does above the transformer.
class UperNet : public ZooNetwork {
 public:
  UperNet(const NetworkSpec& spec, const TransformerSizes& sizes,
          std::shared_ptr<VisionTransformer> backbone)
      : sizes_(sizes), backbone_(register_module("backbone", std::move(backbone))) {
    const int64_t width = sizes.embedding;
    const bool published = width == published_spec(spec.name).embedding;
    const int64_t channels = published ? 512 : width * 4 / 3;
    neck_ = register_module("neck", std::make_shared<Neck>(width));
    head_ =
        register_module("decode_head", std::make_shared<UperHead>(width, channels, spec.classes));
    auxiliary_ = register_module("auxiliary_head", fcn_head(width, channels / 2, spec.classes));
  }

  at::Tensor forward(const at::Tensor& image) override { return head_->forward(pyramid(image)); }

  std::vector<at::Tensor> outputs(const at::Tensor& image) override {
    const Maps levels = pyramid(image);
    return {head_->forward(levels), auxiliary_->forward(levels.back())};
  }

 private:
  /// The maps after the blocks at a quarter, a half, three quarters and the whole of the depth.
  Maps pyramid(const at::Tensor& image) {
    const auto tokens = backbone_->tokens(image);
    Maps maps;
    for (size_t i = 1; i <= kScales.size(); ++i) {
      const at::Tensor& after =
          tokens[(i * tokens.size() + kScales.size() - 1) / kScales.size() - 1];
      const at::Tensor patches = at::transpose(at::slice(after, 1, 1), 1, 2);
      maps.push_back(at::unflatten(patches, 2, {sizes_.rows, sizes_.columns}));
    }
    return neck_->forward(maps);
  }

  TransformerSizes sizes_;
  std::shared_ptr<VisionTransformer> backbone_;
  std::shared_ptr<Neck> neck_;
  std::shared_ptr<UperHead> head_;
  LayerPointer auxiliary_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_upernet(const NetworkSpec& spec) {
  const TransformerSizes sizes = transformer_sizes(spec);
  auto backbone = spec.name.starts_with("vit") ? vit(sizes, 0) : deit(sizes, 0);
  return std::make_shared<UperNet>(spec, sizes, std::move(backbone));
}

}  // namespace cpd::zoo
