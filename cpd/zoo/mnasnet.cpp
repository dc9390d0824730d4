#include <ATen/ops/mean.h>
#include <cpd/zoo/networks.h>

#include <array>

namespace cpd::zoo {
namespace {

class InvertedResidual : public Layer {
 public:
  InvertedResidual(int64_t in, int64_t out, int64_t size, int64_t stride, int64_t expansion)
      : shortcut_(stride == 1 && in == out) {
    const int64_t hidden = in * expansion;
    const Kernel depthwise{.size = size, .stride = stride, .padding = size / 2, .groups = hidden};
    layers_ = register_module(
        "layers", chain({convolution(in, hidden, {.size = 1}), batch_norm(hidden), relu(),
                         convolution(hidden, hidden, depthwise), batch_norm(hidden), relu(),
                         convolution(hidden, out, {.size = 1}), batch_norm(out)}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    const at::Tensor value = layers_->forward(input);
    return shortcut_ ? value + input : value;
  }

 private:
  bool shortcut_;
  LayerPointer layers_;
};

struct Stage {
  int64_t width;
  int64_t size;
  int64_t stride;
  int64_t expansion;
  int blocks;
};

constexpr std::array<Stage, 6> kStages = {{{24, 3, 2, 3, 3},
                                           {40, 5, 2, 3, 3},
                                           {80, 5, 2, 6, 3},
                                           {96, 3, 1, 6, 2},
                                           {192, 5, 2, 6, 4},
                                           {320, 3, 1, 6, 1}}};

/// Tan et al.'s network of depth multiplier 1; on small images the stem and the first stage do not
/// shrink.
class MnasNet : public ZooNetwork {
 public:
  explicit MnasNet(const NetworkSpec& spec) {
    const bool small = is_small(spec);
    auto layers = chain({convolution(spec.channels, 32, {.stride = small ? 1 : 2, .padding = 1}),
                         batch_norm(32), relu(), convolution(32, 32, {.padding = 1, .groups = 32}),
                         batch_norm(32), relu(), convolution(32, 16, {.size = 1}), batch_norm(16)});
    int64_t channels = 16;
    for (const Stage& stage : kStages) {
      auto blocks = std::make_shared<Chain>();
      for (int block = 0; block < stage.blocks; ++block) {
        const int64_t stride = block || (small && stage.width == 24) ? 1 : stage.stride;
        blocks->add(std::make_shared<InvertedResidual>(channels, stage.width, stage.size, stride,
                                                       stage.expansion));
        channels = stage.width;
      }
      layers->add(std::move(blocks));
    }
    layers->add(convolution(channels, 1280, {.size = 1})).add(batch_norm(1280)).add(relu());
    layers_ = register_module("layers", std::move(layers));
    classifier_ = register_module("classifier", chain({dropout(0.2), linear(1280, spec.classes)}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return classifier_->forward(at::mean(layers_->forward(input), {2, 3}));
  }

 private:
  LayerPointer layers_;
  LayerPointer classifier_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_mnasnet(const NetworkSpec& spec) {
  return std::make_shared<MnasNet>(spec);
}

}  // namespace cpd::zoo
