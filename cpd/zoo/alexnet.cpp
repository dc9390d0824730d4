#include <ATen/ops/flatten.h>
#include <cpd/zoo/networks.h>

namespace cpd::zoo {
namespace {

LayerPointer conv(int64_t in, int64_t out, int64_t size, int64_t stride, int64_t padding) {
  return convolution(in, out, {.size = size, .stride = stride, .padding = padding, .bias = true});
}

/// Krizhevsky's network as torchvision has it; on small images with smaller kernels and strides.
class AlexNet : public ZooNetwork {
 public:
  explicit AlexNet(const NetworkSpec& spec) {
    const bool small = is_small(spec);
    const int64_t pool = small ? 2 : 3;
    features_ = register_module(
        "features",
        chain({small ? conv(spec.channels, 64, 3, 2, 1) : conv(spec.channels, 64, 11, 4, 2), relu(),
               max_pool(pool, 2), small ? conv(64, 192, 3, 1, 1) : conv(64, 192, 5, 1, 2), relu(),
               max_pool(pool, 2), conv(192, 384, 3, 1, 1), relu(), conv(384, 256, 3, 1, 1), relu(),
               conv(256, 256, 3, 1, 1), relu(), max_pool(pool, 2)}));
    const int64_t side = small ? 2 : 6;
    const int64_t hidden = small ? 1024 : 4096;
    average_ = register_module("avgpool", average_pool(side));
    classifier_ = register_module(
        "classifier", chain({dropout(0.5), linear(256 * side * side, hidden), relu(), dropout(0.5),
                             linear(hidden, hidden), relu(), linear(hidden, spec.classes)}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return classifier_->forward(at::flatten(average_->forward(features_->forward(input)), 1));
  }

 private:
  LayerPointer features_;
  LayerPointer average_;
  LayerPointer classifier_;
};

}  // namespace

std::shared_ptr<ZooNetwork> make_alexnet(const NetworkSpec& spec) {
  return std::make_shared<AlexNet>(spec);
}

}  // namespace cpd::zoo
