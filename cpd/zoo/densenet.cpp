#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/flatten.h>
#include <ATen/ops/relu.h>
#include <cpd/zoo/networks.h>

namespace cpd::zoo {
namespace {

constexpr int64_t kGrowth = 32;
constexpr int64_t kBottleneck = 4 * kGrowth;

/// Norm, 1x1, norm, 3x3: `kGrowth` new channels from all those before.
class DenseLayer : public Layer {
 public:
  explicit DenseLayer(int64_t in)
      : norm1_(register_module("norm1", batch_norm(in))),
        conv1_(register_module("conv1", convolution(in, kBottleneck, {.size = 1}))),
        norm2_(register_module("norm2", batch_norm(kBottleneck))),
        conv2_(register_module("conv2", convolution(kBottleneck, kGrowth, {.padding = 1}))) {}

  at::Tensor forward(const at::Tensor& input) override {
    const at::Tensor narrow = conv1_->forward(at::relu(norm1_->forward(input)));
    return conv2_->forward(at::relu(norm2_->forward(narrow)));
  }

 private:
  LayerPointer norm1_, conv1_, norm2_, conv2_;
};

/// Every layer reads what all layers before it gave, side by side.
class DenseBlock : public Layer {
 public:
  DenseBlock(int64_t in, int64_t layers) {
    for (int64_t i = 0; i < layers; ++i) {
      layers_.push_back(register_module("denselayer" + std::to_string(i + 1),
                                        std::make_shared<DenseLayer>(in + i * kGrowth)));
    }
  }

  at::Tensor forward(const at::Tensor& input) override {
    std::vector<at::Tensor> values{input};
    for (const auto& layer : layers_) values.push_back(layer->forward(at::cat(values, 1)));
    return at::cat(values, 1);
  }

 private:
  std::vector<std::shared_ptr<DenseLayer>> layers_;
};

/// Halves channels, height and width.
class Transition : public Layer {
 public:
  explicit Transition(int64_t in)
      : norm_(register_module("norm", batch_norm(in))),
        conv_(register_module("conv", convolution(in, in / 2, {.size = 1}))) {}

  at::Tensor forward(const at::Tensor& input) override {
    return at::avg_pool2d(conv_->forward(at::relu(norm_->forward(input))), {2, 2}, {2, 2});
  }

 private:
  LayerPointer norm_, conv_;
};

/// Huang et al.'s DenseNet-121; on small images with a 3x3 stem that does not shrink.
class DenseNet : public ZooNetwork {
 public:
  explicit DenseNet(const NetworkSpec& spec) {
    add_stem(spec);
    int64_t width = 64, block = 1;
    for (const int64_t layers : {6, 12, 24, 16}) {
      const std::string number = std::to_string(block);
      features_->add("denseblock" + number, std::make_shared<DenseBlock>(width, layers));
      width += layers * kGrowth;
      if (block++ == 4) break;
      features_->add("transition" + number, std::make_shared<Transition>(width));
      width /= 2;
    }
    features_->add("norm5", batch_norm(width));
    register_module("features", features_);
    classifier_ = register_module("classifier", linear(width, spec.classes));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return classifier_->forward(at::relu(features_->forward(input)).mean({2, 3}));
  }

 private:
  void add_stem(const NetworkSpec& spec) {
    const Kernel kernel = is_small(spec) ? Kernel{.size = 3, .padding = 1}
                                         : Kernel{.size = 7, .stride = 2, .padding = 3};
    features_->add("conv0", convolution(spec.channels, 64, kernel));
    features_->add("norm0", batch_norm(64)).add("relu0", relu());
    if (!is_small(spec)) features_->add("pool0", max_pool(3, 2, 1));
  }

  std::shared_ptr<Chain> features_ = std::make_shared<Chain>();
  LayerPointer classifier_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_densenet(const NetworkSpec& spec) {
  return std::make_shared<DenseNet>(spec);
}

}  // namespace cpd::zoo
