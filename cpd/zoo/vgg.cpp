#include <ATen/ops/flatten.h>
#include <cpd/zoo/networks.h>

namespace cpd::zoo {
namespace {

constexpr int64_t kPool = 0;

std::vector<int64_t> widths_of(const std::string& name) {
  if (name.starts_with("vgg11")) {
    return {64, kPool, 128, kPool, 256, 256, kPool, 512, 512, kPool, 512, 512, kPool};
  }
  return {64,    64,  kPool, 128, 128,   kPool, 256, 256, 256,
          kPool, 512, 512,   512, kPool, 512,   512, 512, kPool};
}

/// Simonyan and Zisserman's networks, with or without batch norm.
class Vgg : public ZooNetwork {
 public:
  explicit Vgg(const NetworkSpec& spec) {
    const bool small = is_small(spec);
    features_ = register_module("features", features(spec, spec.name.ends_with("_bn"), small));
    const int64_t side = small ? 1 : 7;
    const int64_t hidden = small ? 512 : 4096;
    average_ = register_module("avgpool", average_pool(side));
    classifier_ = register_module(
        "classifier",
        chain({linear(512 * side * side, hidden), relu(), dropout(0.5), linear(hidden, hidden),
               relu(), dropout(0.5), linear(hidden, spec.classes)}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return classifier_->forward(at::flatten(average_->forward(features_->forward(input)), 1));
  }

 private:
  static LayerPointer features(const NetworkSpec& spec, bool normed, bool small) {
    auto layers = std::make_shared<Chain>();
    int64_t channels = spec.channels;
    for (const int64_t width : widths_of(spec.name)) {
      if (width == kPool) {
        // Rounding up keeps a position of 28x28 images through all five poolings.
        layers->add(max_pool(2, 2, 0, small));
        continue;
      }
      layers->add(convolution(channels, width, {.padding = 1, .bias = true}));
      if (normed) layers->add(batch_norm(width));
      layers->add(relu());
      channels = width;
    }
    return layers;
  }

  LayerPointer features_;
  LayerPointer average_;
  LayerPointer classifier_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_vgg(const NetworkSpec& spec) {
  return std::make_shared<Vgg>(spec);
}

}  // namespace cpd::zoo
