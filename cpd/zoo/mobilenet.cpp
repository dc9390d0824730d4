#include <ATen/ops/mean.h>
#include <cpd/zoo/networks.h>

#include <array>

namespace cpd::zoo {
namespace {

/// Convolution, batch norm and ReLU6.
LayerPointer conv_bn_relu6(int64_t in, int64_t out, Kernel kernel) {
  kernel.padding = kernel.size / 2;
  return chain({convolution(in, out, kernel), batch_norm(out), relu6()});
}

/// Widen by 1x1, depthwise 3x3, narrow by 1x1; with a shortcut where shapes allow.
class InvertedResidual : public Layer {
 public:
  InvertedResidual(int64_t in, int64_t out, int64_t stride, int64_t expansion)
      : shortcut_(stride == 1 && in == out) {
    const int64_t hidden = in * expansion;
    auto layers = std::make_shared<Chain>();
    if (expansion != 1) layers->add(conv_bn_relu6(in, hidden, {.size = 1}));
    layers->add(conv_bn_relu6(hidden, hidden, {.stride = stride, .groups = hidden}));
    layers->add(convolution(hidden, out, {.size = 1}));
    layers->add(batch_norm(out));
    conv_ = register_module("conv", std::move(layers));
  }

  at::Tensor forward(const at::Tensor& input) override {
    const at::Tensor value = conv_->forward(input);
    return shortcut_ ? input + value : value;
  }

 private:
  bool shortcut_;
  LayerPointer conv_;
};

struct Stage {
  int64_t expansion;
  int64_t width;
  int blocks;
  int64_t stride;
};

constexpr std::array<Stage, 7> kStages = {{{1, 16, 1, 1},
                                           {6, 24, 2, 2},
                                           {6, 32, 3, 2},
                                           {6, 64, 4, 2},
                                           {6, 96, 3, 1},
                                           {6, 160, 3, 2},
                                           {6, 320, 1, 1}}};

/// Sandler et al.'s network; on small images the stem and the second stage do not shrink.
class MobileNetV2 : public ZooNetwork {
 public:
  explicit MobileNetV2(const NetworkSpec& spec) {
    const bool small = is_small(spec);
    auto features = std::make_shared<Chain>();
    features->add(conv_bn_relu6(spec.channels, 32, {.stride = small ? 1 : 2}));
    int64_t channels = 32;
    for (const Stage& stage : kStages) {
      const int64_t stride = small && stage.width == 24 ? 1 : stage.stride;
      for (int block = 0; block < stage.blocks; ++block) {
        features->add(std::make_shared<InvertedResidual>(channels, stage.width, block ? 1 : stride,
                                                         stage.expansion));
        channels = stage.width;
      }
    }
    features->add(conv_bn_relu6(channels, 1280, {.size = 1}));
    features_ = register_module("features", std::move(features));
    classifier_ = register_module("classifier", chain({dropout(0.2), linear(1280, spec.classes)}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return classifier_->forward(at::mean(features_->forward(input), {2, 3}));
  }

 private:
  LayerPointer features_;
  LayerPointer classifier_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_mobilenet_v2(const NetworkSpec& spec) {
  return std::make_shared<MobileNetV2>(spec);
}

}  // namespace cpd::zoo
