#include <ATen/ops/cat.h>
#include <ATen/ops/flatten.h>
#include <ATen/ops/relu.h>
#include <cpd/zoo/networks.h>

namespace cpd::zoo {
namespace {

LayerPointer conv(int64_t in, int64_t out, int64_t size, int64_t stride = 1, int64_t padding = 0) {
  return convolution(in, out, {.size = size, .stride = stride, .padding = padding, .bias = true});
}

/// Squeeze by 1x1, then 1x1 and 3x3 side by side.
class Fire : public Layer {
 public:
  Fire(int64_t in, int64_t squeeze, int64_t expand)
      : squeeze_(register_module("squeeze", conv(in, squeeze, 1))),
        expand1x1_(register_module("expand1x1", conv(squeeze, expand, 1))),
        expand3x3_(register_module("expand3x3", conv(squeeze, expand, 3, 1, 1))) {}

  at::Tensor forward(const at::Tensor& input) override {
    const at::Tensor value = at::relu(squeeze_->forward(input));
    return at::cat({at::relu(expand1x1_->forward(value)), at::relu(expand3x3_->forward(value))}, 1);
  }

 private:
  LayerPointer squeeze_;
  LayerPointer expand1x1_;
  LayerPointer expand3x3_;
};

LayerPointer fire(int64_t in, int64_t squeeze, int64_t expand) {
  return std::make_shared<Fire>(in, squeeze, expand);
}

LayerPointer pool() { return max_pool(3, 2, 0, /*ceil=*/true); }

LayerPointer features_1_0(LayerPointer stem) {
  return chain({std::move(stem), relu(), pool(), fire(96, 16, 64), fire(128, 16, 64),
                fire(128, 32, 128), pool(), fire(256, 32, 128), fire(256, 48, 192),
                fire(384, 48, 192), fire(384, 64, 256), pool(), fire(512, 64, 256)});
}

LayerPointer features_1_1(LayerPointer stem) {
  return chain({std::move(stem), relu(), pool(), fire(64, 16, 64), fire(128, 16, 64), pool(),
                fire(128, 32, 128), fire(256, 32, 128), pool(), fire(256, 48, 192),
                fire(384, 48, 192), fire(384, 64, 256), fire(512, 64, 256)});
}

/// Iandola et al.'s networks; on small images with a 3x3 stem that does not shrink.
class SqueezeNet : public ZooNetwork {
 public:
  explicit SqueezeNet(const NetworkSpec& spec) {
    const bool first = spec.name == "squeezenet1_0";
    const int64_t width = first ? 96 : 64;
    LayerPointer stem = is_small(spec) ? conv(spec.channels, width, 3, 1, 1)
                                       : conv(spec.channels, width, first ? 7 : 3, 2);
    features_ = register_module(
        "features", first ? features_1_0(std::move(stem)) : features_1_1(std::move(stem)));
    classifier_ = register_module(
        "classifier", chain({dropout(0.5), conv(512, spec.classes, 1), relu(), average_pool(1)}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return at::flatten(classifier_->forward(features_->forward(input)), 1);
  }

 private:
  LayerPointer features_;
  LayerPointer classifier_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_squeezenet(const NetworkSpec& spec) {
  return std::make_shared<SqueezeNet>(spec);
}

}  // namespace cpd::zoo
