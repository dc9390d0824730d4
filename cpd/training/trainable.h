#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/dynamic_ops/dynamic_model.h>
#include <cpd/model/model.h>

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cpd {

/// What may watch a forward pass of training.
using ObserverFactory = std::function<RunObserver(const std::vector<at::Tensor>& inputs)>;

/// What training and evaluation need of a network.
class Trainable {
 public:
  virtual ~Trainable() = default;

  /// One tensor for each input of the network; returns its outputs in order.
  virtual std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs) = 0;
  /// Handles, not copies, by name: each tensor once, also those that require no gradient.
  virtual NamedTensors parameters() const = 0;
  virtual NamedTensors buffers() const = 0;
  /// Switches batch norm and dropout between training and evaluation.
  virtual void train(bool on) = 0;
  virtual bool is_training() const = 0;
  /// Moves all tensors; handles to them stay valid.
  virtual void to(c10::Device device) = 0;
  /// Watches every forward pass in training mode with gradients from now on. False, and nothing is
  /// watched, where a network does not run op by op.
  virtual bool watch(ObserverFactory) { return false; }
};

/// Those who watch the forward passes of a network.
class Watchers {
 public:
  void add(ObserverFactory factory) { factories_.push_back(std::move(factory)); }
  /// For a forward pass: null where nobody watches, or the network does not train.
  RunObserver observer(const Trainable& network, const std::vector<at::Tensor>& inputs) const;

 private:
  std::vector<ObserverFactory> factories_;
};

/// A dynamic model, masked or compact as its mode says. It must outlive the result.
std::unique_ptr<Trainable> trainable(DynamicModel& model);
/// Any module, with the function that calls it.
std::unique_ptr<Trainable> trainable(std::shared_ptr<torch::nn::Module> module, Forward forward);

/// A module whose `forward` takes and returns a tensor, or vectors of tensors: a network of the
/// zoo, a `CompactModule`, one of one's own.
template <typename Module>
std::unique_ptr<Trainable> trainable(const std::shared_ptr<Module>& module) {
  return trainable(std::shared_ptr<torch::nn::Module>(module),
                   [raw = module.get()](const std::vector<at::Tensor>& inputs) {
                     if constexpr (requires {
                                     { raw->forward(inputs) } -> std::same_as<Tensors>;
                                   }) {
                       return raw->forward(inputs);
                     } else {
                       return Tensors{raw->forward(inputs.at(0))};
                     }
                   });
}

/// For the length of a scope in training or evaluation mode; then as it was before.
class TrainingMode {
 public:
  TrainingMode(Trainable& network, bool on) : network_(network), before_(network.is_training()) {
    network_.train(on);
  }
  TrainingMode(const TrainingMode&) = delete;
  TrainingMode& operator=(const TrainingMode&) = delete;
  ~TrainingMode() { network_.train(before_); }

 private:
  Trainable& network_;
  bool before_;
};

}  // namespace cpd
