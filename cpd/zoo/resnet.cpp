#include <ATen/ops/flatten.h>
#include <ATen/ops/relu.h>
#include <cpd/zoo/networks.h>

#include <array>

namespace cpd::zoo {
namespace {

LayerPointer downsample(int64_t in, int64_t out, int64_t stride) {
  return chain({convolution(in, out, {.size = 1, .stride = stride}), batch_norm(out)});
}

/// Two 3x3 convolutions and a shortcut.
class BasicBlock : public Layer {
 public:
  BasicBlock(int64_t in, int64_t width, int64_t stride)
      : conv1_(register_module("conv1", convolution(in, width, {.stride = stride, .padding = 1}))),
        bn1_(register_module("bn1", batch_norm(width))),
        conv2_(register_module("conv2", convolution(width, width, {.padding = 1}))),
        bn2_(register_module("bn2", batch_norm(width))) {
    if (stride != 1 || in != width) {
      downsample_ = register_module("downsample", downsample(in, width, stride));
    }
  }

  at::Tensor forward(const at::Tensor& input) override {
    at::Tensor value = at::relu(bn1_->forward(conv1_->forward(input)));
    value = bn2_->forward(conv2_->forward(value));
    return at::relu(value + (downsample_ ? downsample_->forward(input) : input));
  }

  static constexpr int64_t kExpansion = 1;

 private:
  LayerPointer conv1_;
  LayerPointer bn1_;
  LayerPointer conv2_;
  LayerPointer bn2_;
  LayerPointer downsample_;
};

/// 1x1, 3x3 (which has the stride) and 1x1 convolutions and a shortcut; four times as wide outside.
class Bottleneck : public Layer {
 public:
  Bottleneck(int64_t in, int64_t width, int64_t stride)
      : conv1_(register_module("conv1", convolution(in, width, {.size = 1}))),
        bn1_(register_module("bn1", batch_norm(width))),
        conv2_(
            register_module("conv2", convolution(width, width, {.stride = stride, .padding = 1}))),
        bn2_(register_module("bn2", batch_norm(width))),
        conv3_(register_module("conv3", convolution(width, kExpansion * width, {.size = 1}))),
        bn3_(register_module("bn3", batch_norm(kExpansion * width))) {
    if (stride != 1 || in != kExpansion * width) {
      downsample_ = register_module("downsample", downsample(in, kExpansion * width, stride));
    }
  }

  at::Tensor forward(const at::Tensor& input) override {
    at::Tensor value = at::relu(bn1_->forward(conv1_->forward(input)));
    value = at::relu(bn2_->forward(conv2_->forward(value)));
    value = bn3_->forward(conv3_->forward(value));
    return at::relu(value + (downsample_ ? downsample_->forward(input) : input));
  }

  static constexpr int64_t kExpansion = 4;

 private:
  LayerPointer conv1_;
  LayerPointer bn1_;
  LayerPointer conv2_;
  LayerPointer bn2_;
  LayerPointer conv3_;
  LayerPointer bn3_;
  LayerPointer downsample_;
};

/// He et al.'s ImageNet networks; on small images with a 3x3 stem and no pooling after it.
template <typename Block>
class ResNet : public ZooNetwork {
 public:
  ResNet(const NetworkSpec& spec, const std::array<int, 4>& blocks) {
    const bool small = is_small(spec);
    conv1_ = register_module(
        "conv1", small ? convolution(spec.channels, 64, {.padding = 1})
                       : convolution(spec.channels, 64, {.size = 7, .stride = 2, .padding = 3}));
    bn1_ = register_module("bn1", batch_norm(64));
    if (!small) pool_ = register_module("maxpool", max_pool(3, 2, 1));
    int64_t channels = 64;
    for (size_t stage = 0; stage < blocks.size(); ++stage) {
      const int64_t width = int64_t{64} << stage;
      layers_[stage] = register_module("layer" + std::to_string(stage + 1),
                                       make_stage(channels, width, blocks[stage], stage ? 2 : 1));
      channels = Block::kExpansion * width;
    }
    average_ = register_module("avgpool", average_pool(1));
    fc_ = register_module("fc", linear(channels, spec.classes));
  }

  at::Tensor forward(const at::Tensor& input) override {
    at::Tensor value = at::relu(bn1_->forward(conv1_->forward(input)));
    if (pool_) value = pool_->forward(value);
    for (const LayerPointer& layer : layers_) value = layer->forward(value);
    return fc_->forward(at::flatten(average_->forward(value), 1));
  }

 private:
  static LayerPointer make_stage(int64_t in, int64_t width, int blocks, int64_t stride) {
    auto stage = std::make_shared<Chain>();
    for (int block = 0; block < blocks; ++block) {
      stage->add(std::make_shared<Block>(block ? Block::kExpansion * width : in, width,
                                         block ? 1 : stride));
    }
    return stage;
  }

  LayerPointer conv1_;
  LayerPointer bn1_;
  LayerPointer pool_;
  std::array<LayerPointer, 4> layers_;
  LayerPointer average_;
  LayerPointer fc_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_resnet(const NetworkSpec& spec) {
  using Blocks = std::array<int, 4>;
  if (spec.name == "resnet18") {
    return std::make_shared<ResNet<BasicBlock>>(spec, Blocks{2, 2, 2, 2});
  }
  return std::make_shared<ResNet<Bottleneck>>(spec, Blocks{3, 4, 6, 3});
}

}  // namespace cpd::zoo
