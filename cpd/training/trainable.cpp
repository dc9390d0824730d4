#include <ATen/core/grad_mode.h>
#include <cpd/core/error.h>
#include <cpd/training/trainable.h>
#include <torch/nn/module.h>

#include <unordered_set>

namespace cpd {
namespace {

/// True if the tensor was elsewhere.
bool move(const at::Tensor& tensor, c10::Device device) {
  if (!tensor.defined() || tensor.device() == device) return false;
  tensor.set_data(tensor.to(device));
  return true;
}

class TrainableDynamicModel : public Trainable {
 public:
  explicit TrainableDynamicModel(DynamicModel& model) : model_(model) {}

  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs) override {
    return model_.forward(inputs, watchers_.observer(*this, inputs));
  }
  NamedTensors parameters() const override { return model_.named_parameters(); }
  NamedTensors buffers() const override { return model_.named_buffers(); }
  void train(bool on) override { model_.train(on); }
  bool is_training() const override { return model_.is_training(); }
  void to(c10::Device device) override {
    bool moved = false;
    for (const auto& parameter : model_.model().parameters) {
      moved = move(parameter.tensor, device) || moved;
    }
    // What was derived from them is made anew.
    if (moved) model_.set_keep(Keep(model_.keep()));
  }
  bool watch(ObserverFactory factory) override {
    watchers_.add(std::move(factory));
    return true;
  }

 private:
  DynamicModel& model_;
  Watchers watchers_;
};

class TrainableModule : public Trainable {
 public:
  TrainableModule(std::shared_ptr<torch::nn::Module> module, Forward forward)
      : module_(std::move(module)), forward_(std::move(forward)) {
    if (module_ == nullptr || !forward_) throw Error("there is no module to train");
  }

  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs) override {
    return forward_(inputs);
  }
  NamedTensors parameters() const override { return named(module_->named_parameters()); }
  NamedTensors buffers() const override { return named(module_->named_buffers()); }
  void train(bool on) override { module_->train(on); }
  bool is_training() const override { return module_->is_training(); }
  void to(c10::Device device) override { module_->to(device); }

 private:
  template <typename Items>
  static NamedTensors named(const Items& items) {
    NamedTensors result;
    std::unordered_set<const void*> seen;
    for (const auto& item : items) {
      if (seen.insert(item.value().unsafeGetTensorImpl()).second) {
        result.emplace_back(item.key(), item.value());
      }
    }
    return result;
  }

  std::shared_ptr<torch::nn::Module> module_;
  Forward forward_;
};

}  // namespace

RunObserver Watchers::observer(const Trainable& network,
                               const std::vector<at::Tensor>& inputs) const {
  if (factories_.empty() || !network.is_training() || !at::GradMode::is_enabled()) return nullptr;
  std::vector<RunObserver> observers;
  for (const auto& factory : factories_) observers.push_back(factory(inputs));
  return [all = std::move(observers)](const Op& op, Tensors& values) {
    for (const auto& observer : all) observer(op, values);
  };
}

std::unique_ptr<Trainable> trainable(DynamicModel& model) {
  return std::make_unique<TrainableDynamicModel>(model);
}

std::unique_ptr<Trainable> trainable(std::shared_ptr<torch::nn::Module> module, Forward forward) {
  return std::make_unique<TrainableModule>(std::move(module), std::move(forward));
}

}  // namespace cpd
