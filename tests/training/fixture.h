#pragma once

#include <ATen/ops/relu.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/data/loader.h>
#include <cpd/training/train.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace cpd::testing {

/// Everything that a run must keep: weights, statistics, random numbers (dropout).
struct SmallNetwork : torch::nn::Module {
  explicit SmallNetwork(uint64_t seed = 1) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("conv2", conv2);
    register_module("dropout", dropout);
    register_module("head", head);
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    const torch::NoGradGuard no_grad;
    for (auto& parameter : parameters()) parameter.normal_(0, 0.3, generator);
    bn1->weight.fill_(1);
  }
  at::Tensor forward(const at::Tensor& images) {
    const at::Tensor hidden = at::relu(bn1->forward(conv1->forward(images)));
    const at::Tensor features = at::relu(conv2->forward(hidden)).mean({2, 3});
    return head->forward(dropout->forward(features));
  }

  torch::nn::Conv2d conv1 = torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 3).padding(1));
  torch::nn::BatchNorm2d bn1 = torch::nn::BatchNorm2d(8);
  torch::nn::Conv2d conv2 = torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 12, 3).stride(2));
  torch::nn::Dropout dropout = torch::nn::Dropout(0.1);
  torch::nn::Linear head = torch::nn::Linear(12, 3);
};

/// Images of 8x8 whose class shows in where they are bright.
inline DatasetPointer bright_images(int64_t count, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor labels = torch::arange(count).remainder(3);
  const at::Tensor images = torch::rand({count, 1, 8, 8}, generator);
  for (int64_t i = 0; i < count; ++i) {
    images[i][0].narrow(1, 2 * (i % 3), 3).add_(1.5);
  }
  return tensor_dataset(images, labels, "bright images");
}

inline Loader loader_of(int64_t count, uint64_t seed, bool shuffle, int64_t batch = 16) {
  return {bright_images(count, seed),
          {.shape = {1, 8, 8},
           .batch = batch,
           .normalisation = {{0.0}, {1.0}},
           .shuffle = shuffle,
           .seed = 3}};
}

/// A folder of its own that is gone afterwards.
class Folder {
 public:
  Folder() {
    static int number = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("cpd_" + std::to_string(::getpid()) + "_" + std::to_string(number++));
    std::filesystem::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// What an error says; empty if there is none.
inline std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// Names of tensors in which two networks differ in any bit.
inline std::string differences(const Trainable& a, const Trainable& b) {
  std::string names;
  const auto compare = [&](const NamedTensors& left, const NamedTensors& right) {
    if (left.size() != right.size()) names += "numbers of tensors ";
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!left[i].second.equal(right[i].second)) names += left[i].first + " ";
    }
  };
  compare(a.parameters(), b.parameters());
  compare(a.buffers(), b.buffers());
  return names;
}

}  // namespace cpd::testing
