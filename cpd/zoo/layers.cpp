#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/feature_dropout.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/hardtanh.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <cpd/zoo/layers.h>
#include <cpd/zoo/zoo.h>

#include <cmath>
#include <functional>

namespace cpd::zoo {
namespace {

/// A layer whose parameters can be drawn.
class Initialised : public Layer {
 public:
  virtual void draw(const at::Generator& generator) = 0;
};

class Convolution : public Initialised {
 public:
  Convolution(int64_t in, int64_t out, Kernel kernel) : kernel_(kernel) {
    weight_ = register_parameter("weight",
                                 at::empty({out, in / kernel.groups, kernel.size, kernel.size}));
    if (kernel.bias) bias_ = register_parameter("bias", at::empty({out}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return at::conv2d(input, weight_, bias_, {kernel_.stride, kernel_.stride},
                      {kernel_.padding, kernel_.padding}, {1, 1}, kernel_.groups);
  }

  void draw(const at::Generator& generator) override {
    const double fan_out =
        static_cast<double>(weight_.size(0) * kernel_.size * kernel_.size / kernel_.groups);
    weight_.normal_(0, std::sqrt(2.0 / fan_out), generator);
    if (bias_.defined()) bias_.zero_();
  }

 private:
  Kernel kernel_;
  at::Tensor weight_;
  at::Tensor bias_;
};

class BatchNorm : public Initialised {
 public:
  BatchNorm(int64_t channels, double eps) : eps_(eps) {
    weight_ = register_parameter("weight", at::ones({channels}));
    bias_ = register_parameter("bias", at::zeros({channels}));
    mean_ = register_buffer("running_mean", at::zeros({channels}));
    variance_ = register_buffer("running_var", at::ones({channels}));
    batches_ = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  }

  at::Tensor forward(const at::Tensor& input) override {
    if (is_training()) batches_.add_(1);
    return at::batch_norm(input, weight_, bias_, mean_, variance_, is_training(), 0.1, eps_, true);
  }

  void draw(const at::Generator& /*generator*/) override {}

 private:
  double eps_;
  at::Tensor weight_;
  at::Tensor bias_;
  at::Tensor mean_;
  at::Tensor variance_;
  at::Tensor batches_;
};

class LayerNorm : public Initialised {
 public:
  LayerNorm(int64_t channels, double eps) : eps_(eps) {
    weight_ = register_parameter("weight", at::ones({channels}));
    bias_ = register_parameter("bias", at::zeros({channels}));
  }

  at::Tensor forward(const at::Tensor& input) override {
    return at::layer_norm(input, weight_.sizes(), weight_, bias_, eps_);
  }

  void draw(const at::Generator& /*generator*/) override {}

 private:
  double eps_;
  at::Tensor weight_;
  at::Tensor bias_;
};

class Linear : public Initialised {
 public:
  Linear(int64_t in, int64_t out) {
    weight_ = register_parameter("weight", at::empty({out, in}));
    bias_ = register_parameter("bias", at::empty({out}));
  }

  at::Tensor forward(const at::Tensor& input) override { return at::linear(input, weight_, bias_); }

  void draw(const at::Generator& generator) override {
    const double bound = 1.0 / std::sqrt(static_cast<double>(weight_.size(1)));
    weight_.uniform_(-bound, bound, generator);
    bias_.uniform_(-bound, bound, generator);
  }

 private:
  at::Tensor weight_;
  at::Tensor bias_;
};

class Dropout : public Layer {
 public:
  explicit Dropout(double probability) : probability_(probability) {}
  at::Tensor forward(const at::Tensor& input) override {
    return at::dropout(input, probability_, is_training());
  }

 private:
  double probability_;
};

class ChannelDropout : public Layer {
 public:
  explicit ChannelDropout(double probability) : probability_(probability) {}
  at::Tensor forward(const at::Tensor& input) override {
    return at::feature_dropout(input, probability_, is_training());
  }

 private:
  double probability_;
};

/// A layer without parameters.
class Function : public Layer {
 public:
  explicit Function(std::function<at::Tensor(const at::Tensor&)> function)
      : function_(std::move(function)) {}
  at::Tensor forward(const at::Tensor& input) override { return function_(input); }

 private:
  std::function<at::Tensor(const at::Tensor&)> function_;
};

LayerPointer function(std::function<at::Tensor(const at::Tensor&)> f) {
  return std::make_shared<Function>(std::move(f));
}

}  // namespace

LayerPointer convolution(int64_t in, int64_t out, Kernel kernel) {
  return std::make_shared<Convolution>(in, out, kernel);
}

LayerPointer batch_norm(int64_t channels, double eps) {
  return std::make_shared<BatchNorm>(channels, eps);
}

LayerPointer layer_norm(int64_t channels, double eps) {
  return std::make_shared<LayerNorm>(channels, eps);
}

LayerPointer linear(int64_t in, int64_t out) { return std::make_shared<Linear>(in, out); }

LayerPointer relu() {
  return function([](const at::Tensor& x) { return at::relu(x); });
}

LayerPointer relu6() {
  return function([](const at::Tensor& x) { return at::hardtanh(x, 0, 6); });
}

LayerPointer gelu() {
  return function([](const at::Tensor& x) { return at::gelu(x); });
}

LayerPointer channel_dropout(double probability) {
  return std::make_shared<ChannelDropout>(probability);
}

LayerPointer dropout(double probability) { return std::make_shared<Dropout>(probability); }

LayerPointer max_pool(int64_t size, int64_t stride, int64_t padding, bool ceil) {
  return function([=](const at::Tensor& x) {
    return at::max_pool2d(x, {size, size}, {stride, stride}, {padding, padding}, {1, 1}, ceil);
  });
}

LayerPointer average_pool(int64_t size) {
  return function([=](const at::Tensor& x) { return at::adaptive_avg_pool2d(x, {size, size}); });
}

Chain::Chain(std::vector<LayerPointer> layers) {
  for (LayerPointer& layer : layers) add(std::move(layer));
}

Chain& Chain::add(LayerPointer layer) {
  const std::string name = std::to_string(layers_.size());
  return add(name, std::move(layer));
}

Chain& Chain::add(const std::string& name, LayerPointer layer) {
  layers_.push_back(register_module(name, std::move(layer)));
  return *this;
}

at::Tensor Chain::forward(const at::Tensor& input) {
  at::Tensor value = input;
  for (const LayerPointer& layer : layers_) value = layer->forward(value);
  return value;
}

std::shared_ptr<Chain> chain(std::vector<LayerPointer> layers) {
  return std::make_shared<Chain>(std::move(layers));
}

void initialise(torch::nn::Module& module, uint64_t seed) {
  at::NoGradGuard no_grad;
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (const std::shared_ptr<torch::nn::Module>& child : module.modules()) {
    if (auto* layer = dynamic_cast<Initialised*>(child.get())) {
      layer->draw(generator);
    } else {
      for (at::Tensor& own : child->parameters(/*recurse=*/false)) own.normal_(0, 0.02, generator);
    }
  }
}

}  // namespace cpd::zoo

namespace cpd {

void randomise_statistics(torch::nn::Module& module, uint64_t seed) {
  at::NoGradGuard no_grad;
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  module.apply([&](torch::nn::Module& layer) {
    auto buffers = layer.named_buffers(/*recurse=*/false);
    auto parameters = layer.named_parameters(false);
    at::Tensor* weight = parameters.find("weight");
    if (weight == nullptr || weight->dim() != 1) return;
    if (at::Tensor* mean = buffers.find("running_mean")) {
      mean->normal_(0, 0.3, generator);
      buffers["running_var"].uniform_(0.5, 2, generator);
    }
    // Scales of both signs: a rule that only holds for positive ones must not pass.
    weight->normal_(0, 1, generator);
    if (auto* bias = parameters.find("bias")) bias->normal_(0, 0.3, generator);
  });
}

}  // namespace cpd
