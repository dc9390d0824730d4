#include <ATen/ops/cat.h>
#include <ATen/ops/flatten.h>
#include <cpd/zoo/networks.h>

namespace cpd::zoo {
namespace {

/// Convolution without bias, batch norm and ReLU, named as torchvision does.
LayerPointer basic_conv(int64_t in, int64_t out, Kernel kernel) {
  auto layers = std::make_shared<Chain>();
  layers->add("conv", convolution(in, out, kernel));
  layers->add("bn", batch_norm(out, 0.001));
  layers->add("relu", relu());
  return layers;
}

/// Output widths of an inception block; `reduced` are those of the 1x1 convolutions before 3x3.
struct Widths {
  int64_t plain;
  int64_t reduced3;
  int64_t wide3;
  int64_t reduced5;
  int64_t wide5;
  int64_t pooled;
};

/// Four branches side by side. The third one has 3x3 kernels, not 5x5, as in torchvision.
class Inception : public Layer {
 public:
  Inception(int64_t in, const Widths& w)
      : branch1_(register_module("branch1", basic_conv(in, w.plain, {.size = 1}))),
        branch2_(
            register_module("branch2", chain({basic_conv(in, w.reduced3, {.size = 1}),
                                              basic_conv(w.reduced3, w.wide3, {.padding = 1})}))),
        branch3_(
            register_module("branch3", chain({basic_conv(in, w.reduced5, {.size = 1}),
                                              basic_conv(w.reduced5, w.wide5, {.padding = 1})}))),
        branch4_(register_module(
            "branch4", chain({max_pool(3, 1, 1, true), basic_conv(in, w.pooled, {.size = 1})}))) {}

  at::Tensor forward(const at::Tensor& input) override {
    return at::cat({branch1_->forward(input), branch2_->forward(input), branch3_->forward(input),
                    branch4_->forward(input)},
                   1);
  }

 private:
  LayerPointer branch1_;
  LayerPointer branch2_;
  LayerPointer branch3_;
  LayerPointer branch4_;
};

LayerPointer inception(int64_t in, const Widths& widths) {
  return std::make_shared<Inception>(in, widths);
}

/// Szegedy et al.'s network with batch norm and without the auxiliary heads; on small images with a
/// 3x3 stem that does not shrink.
class GoogLeNet : public ZooNetwork {
 public:
  explicit GoogLeNet(const NetworkSpec& spec) {
    const bool small = is_small(spec);
    add("conv1", small ? basic_conv(spec.channels, 64, {.padding = 1})
                       : basic_conv(spec.channels, 64, {.size = 7, .stride = 2, .padding = 3}));
    if (!small) add("maxpool1", max_pool(3, 2, 0, true));
    add("conv2", basic_conv(64, 64, {.size = 1}));
    add("conv3", basic_conv(64, 192, {.padding = 1}));
    add("maxpool2", max_pool(3, 2, 0, true));
    add("inception3a", inception(192, {64, 96, 128, 16, 32, 32}));
    add("inception3b", inception(256, {128, 128, 192, 32, 96, 64}));
    add("maxpool3", max_pool(3, 2, 0, true));
    add("inception4a", inception(480, {192, 96, 208, 16, 48, 64}));
    add("inception4b", inception(512, {160, 112, 224, 24, 64, 64}));
    add("inception4c", inception(512, {128, 128, 256, 24, 64, 64}));
    add("inception4d", inception(512, {112, 144, 288, 32, 64, 64}));
    add("inception4e", inception(528, {256, 160, 320, 32, 128, 128}));
    add("maxpool4", max_pool(2, 2, 0, true));
    add("inception5a", inception(832, {256, 160, 320, 32, 128, 128}));
    add("inception5b", inception(832, {384, 192, 384, 48, 128, 128}));
    add("avgpool", average_pool(1));
    dropout_ = register_module("dropout", dropout(0.2));
    fc_ = register_module("fc", linear(1024, spec.classes));
  }

  at::Tensor forward(const at::Tensor& input) override {
    at::Tensor value = input;
    for (const LayerPointer& layer : features_) value = layer->forward(value);
    return fc_->forward(dropout_->forward(at::flatten(value, 1)));
  }

 private:
  void add(const std::string& name, LayerPointer layer) {
    features_.push_back(register_module(name, std::move(layer)));
  }

  std::vector<LayerPointer> features_;
  LayerPointer dropout_;
  LayerPointer fc_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_googlenet(const NetworkSpec& spec) {
  return std::make_shared<GoogLeNet>(spec);
}

}  // namespace cpd::zoo
