#include <ATen/ops/cat.h>
#include <ATen/ops/relu.h>
#include <cpd/zoo/networks.h>

#include <vector>

namespace cpd::zoo {
namespace {

/// Two 3x3 convolutions, each with batch norm and ReLU.
class DoubleConvolution : public Layer {
 public:
  DoubleConvolution(int64_t in, int64_t width)
      : conv1_(register_module("conv1", convolution(in, width, {.padding = 1}))),
        bn1_(register_module("bn1", batch_norm(width))),
        conv2_(register_module("conv2", convolution(width, width, {.padding = 1}))),
        bn2_(register_module("bn2", batch_norm(width))) {}

  at::Tensor forward(const at::Tensor& input) override {
    const at::Tensor value = at::relu(bn1_->forward(conv1_->forward(input)));
    return at::relu(bn2_->forward(conv2_->forward(value)));
  }

 private:
  LayerPointer conv1_;
  LayerPointer bn1_;
  LayerPointer conv2_;
  LayerPointer bn2_;
};

/// Ronneberger et al.'s network with batch norm, padded convolutions and bilinear upsampling, so
/// that logits have the size of the image; on small images with two levels in place of four, and
/// narrower.
class UNet : public ZooNetwork {
 public:
  explicit UNet(const NetworkSpec& spec) {
    const int64_t levels = is_small(spec) ? 2 : 4;
    const int64_t first = is_small(spec) ? 24 : 64;
    pool_ = register_module("pool", max_pool(2, 2));
    int64_t channels = spec.channels;
    for (int64_t level = 0; level < levels; ++level) {
      encoders_.push_back(add("encoder", level, channels, first << level));
      channels = first << level;
    }
    bottleneck_ = register_module("bottleneck", block(channels, first << levels));
    for (int64_t level = levels - 1; level >= 0; --level) {
      // What comes from below is twice as wide as the encoder's map that it meets.
      decoders_.push_back(add("decoder", level, 3 * (first << level), first << level));
    }
    head_ = register_module("head", convolution(first, spec.classes, {.size = 1, .bias = true}));
  }

  at::Tensor forward(const at::Tensor& image) override {
    std::vector<at::Tensor> maps;
    at::Tensor value = image;
    for (const LayerPointer& encoder : encoders_) {
      maps.push_back(encoder->forward(value));
      value = pool_->forward(maps.back());
    }
    value = bottleneck_->forward(value);
    for (const LayerPointer& decoder : decoders_) {
      value = decoder->forward(at::cat({maps.back(), resized_like(value, maps.back())}, 1));
      maps.pop_back();
    }
    return head_->forward(value);
  }

 private:
  static LayerPointer block(int64_t in, int64_t width) {
    return std::make_shared<DoubleConvolution>(in, width);
  }
  LayerPointer add(const std::string& name, int64_t level, int64_t in, int64_t width) {
    return register_module(name + std::to_string(level + 1), block(in, width));
  }

  LayerPointer pool_;
  std::vector<LayerPointer> encoders_;
  LayerPointer bottleneck_;
  std::vector<LayerPointer> decoders_;
  LayerPointer head_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_unet(const NetworkSpec& spec) {
  return std::make_shared<UNet>(spec);
}

}  // namespace cpd::zoo
