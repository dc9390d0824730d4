#include <ATen/ops/scalar_tensor.h>
#include <cpd/core/error.h>
#include <cpd/training/optimiser.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <typeinfo>
#include <unordered_map>
#include <utility>

namespace cpd {
namespace {

using torch::optim::Optimizer;
using torch::optim::OptimizerParamState;

const std::vector<std::string>& type_names() {
  static const std::vector<std::string> names{"SGD", "Adam", "AdamW"};
  return names;
}

/// Memory of the Adam family: `visit` takes (kind, get, set).
template <typename State, typename Visit>
void visit_adam(State& state, const Visit& visit) {
  visit("exp_avg", state.exp_avg(), [&](const at::Tensor& value) { state.exp_avg(value); });
  visit("exp_avg_sq", state.exp_avg_sq(),
        [&](const at::Tensor& value) { state.exp_avg_sq(value); });
  visit("max_exp_avg_sq", state.max_exp_avg_sq(),
        [&](const at::Tensor& value) { state.max_exp_avg_sq(value); });
}

/// Calls `visit(kind, tensor, set)` for each tensor of a state.
template <typename Visit>
void visit_tensors(OptimizerParamState& state, const Visit& visit) {
  if (auto* sgd = dynamic_cast<torch::optim::SGDParamState*>(&state)) {
    visit("momentum_buffer", sgd->momentum_buffer(),
          [&](const at::Tensor& value) { sgd->momentum_buffer(value); });
  } else if (auto* adam = dynamic_cast<torch::optim::AdamParamState*>(&state)) {
    visit_adam(*adam, visit);
  } else if (auto* adamw = dynamic_cast<torch::optim::AdamWParamState*>(&state)) {
    visit_adam(*adamw, visit);
  } else if (auto* rms = dynamic_cast<torch::optim::RMSpropParamState*>(&state)) {
    visit("square_avg", rms->square_avg(),
          [&](const at::Tensor& value) { rms->square_avg(value); });
    visit("momentum_buffer", rms->momentum_buffer(),
          [&](const at::Tensor& value) { rms->momentum_buffer(value); });
    visit("grad_avg", rms->grad_avg(), [&](const at::Tensor& value) { rms->grad_avg(value); });
  } else if (auto* adagrad = dynamic_cast<torch::optim::AdagradParamState*>(&state)) {
    visit("sum", adagrad->sum(), [&](const at::Tensor& value) { adagrad->sum(value); });
  } else {
    throw Error(std::string("the memory of this optimiser is not known: ") + typeid(state).name(),
                {}, "SGD, Adam, AdamW, RMSprop or Adagrad");
  }
}

/// Calls `visit(step, set)` if the state counts steps.
template <typename Visit>
void visit_step(OptimizerParamState& state, const Visit& visit) {
  const auto visit_one = [&](auto* typed) {
    if (typed != nullptr) visit(typed->step(), [&](int64_t step) { typed->step(step); });
  };
  visit_one(dynamic_cast<torch::optim::AdamParamState*>(&state));
  visit_one(dynamic_cast<torch::optim::AdamWParamState*>(&state));
  visit_one(dynamic_cast<torch::optim::RMSpropParamState*>(&state));
  visit_one(dynamic_cast<torch::optim::AdagradParamState*>(&state));
}

/// An empty state of the kind that an optimiser keeps.
std::unique_ptr<OptimizerParamState> empty_state(const Optimizer& optimiser) {
  using namespace torch::optim;
  if (dynamic_cast<const SGD*>(&optimiser)) return std::make_unique<SGDParamState>();
  if (dynamic_cast<const Adam*>(&optimiser)) return std::make_unique<AdamParamState>();
  if (dynamic_cast<const AdamW*>(&optimiser)) return std::make_unique<AdamWParamState>();
  if (dynamic_cast<const RMSprop*>(&optimiser)) return std::make_unique<RMSpropParamState>();
  if (dynamic_cast<const Adagrad*>(&optimiser)) return std::make_unique<AdagradParamState>();
  throw Error(std::string("the memory of this optimiser is not known: ") + typeid(optimiser).name(),
              {}, "SGD, Adam, AdamW, RMSprop or Adagrad");
}

OptimizerParamState* find_state(const Optimizer& optimiser, const at::Tensor& parameter) {
  const auto found = optimiser.state().find(parameter.unsafeGetTensorImpl());
  return found == optimiser.state().end() ? nullptr : found->second.get();
}

/// `conv1.weight.momentum_buffer` as parameter and kind.
std::pair<std::string, std::string> split_key(const std::string& key) {
  const size_t dot = key.rfind('.');
  if (dot == std::string::npos) return {"", key};
  return {key.substr(0, dot), key.substr(dot + 1)};
}

void set_entry(OptimizerParamState& state, const at::Tensor& parameter, const std::string& key,
               const std::string& kind, const at::Tensor& value) {
  bool set_one = false;
  if (kind == "step") {
    visit_step(state, [&](int64_t, const auto& set) {
      set(value.item<int64_t>());
      set_one = true;
    });
  } else {
    visit_tensors(state, [&](const std::string& each, const at::Tensor&, const auto& set) {
      if (each != kind) return;
      if (value.sizes() != parameter.sizes()) {
        throw Error("the optimiser's state '" + key + "' has another shape than its parameter");
      }
      set(value.to(parameter.device()).clone());
      set_one = true;
    });
  }
  if (!set_one) throw Error("this optimiser has no state '" + key + "'");
}

}  // namespace

void OptimiserOptions::verify(const std::string& path) const {
  check_range(key_path(path, "lr"), lr, 0);
  check_range(key_path(path, "momentum"), momentum, 0, 1);
  check_range(key_path(path, "weight_decay"), weight_decay, 0);
  check_range(key_path(path, "epsilon"), epsilon, 0);
  for (const double beta : {beta1, beta2}) {
    if (beta >= 0 && beta < 1) continue;
    throw Error("the value is " + std::to_string(beta), {.path = key_path(path, "betas")},
                "two numbers from 0 to below 1");
  }
  if (nesterov && momentum == 0) {
    throw Error("there is no momentum", {.path = key_path(path, "nesterov")}, "a momentum above 0");
  }
}

void read_json(const Json& json, const std::string& path, OptimiserOptions& options) {
  if (json.is_string()) return read_json_name(json, path, type_names(), options.type);
  JsonObject object(json, path);
  if (const Json* type = object.take("type")) {
    read_json_name(*type, key_path(path, "type"), type_names(), options.type);
  }
  object.read("lr", options.lr)
      .read("momentum", options.momentum)
      .read("nesterov", options.nesterov)
      .read("weight_decay", options.weight_decay)
      .read("epsilon", options.epsilon);
  if (const Json* betas = object.take("betas")) {
    std::vector<double> values;
    read_json(*betas, key_path(path, "betas"), values);
    if (values.size() != 2) throw_wrong_type(*betas, key_path(path, "betas"), "two numbers");
    options.beta1 = values[0];
    options.beta2 = values[1];
  }
  object.finish();
}

void to_json(Json& json, const OptimiserOptions& options) {
  json = Json{{"type", type_names()[static_cast<size_t>(options.type)]},
              {"lr", options.lr},
              {"momentum", options.momentum},
              {"nesterov", options.nesterov},
              {"weight_decay", options.weight_decay},
              {"betas", {options.beta1, options.beta2}},
              {"epsilon", options.epsilon}};
}

std::shared_ptr<Optimizer> make_optimiser(const OptimiserOptions& options,
                                          const NamedTensors& parameters) {
  std::vector<at::Tensor> trained;
  for (const auto& [name, tensor] : parameters) {
    if (tensor.requires_grad()) trained.push_back(tensor);
  }
  if (trained.empty()) throw Error("the network has no parameter that requires a gradient");
  const auto adam = [&](auto defaults) {
    defaults.betas({options.beta1, options.beta2});
    defaults.eps(options.epsilon).weight_decay(options.weight_decay);
    return defaults;
  };
  switch (options.type) {
    case OptimiserType::kAdam:
      return std::make_shared<torch::optim::Adam>(trained,
                                                  adam(torch::optim::AdamOptions(options.lr)));
    case OptimiserType::kAdamW:
      return std::make_shared<torch::optim::AdamW>(trained,
                                                   adam(torch::optim::AdamWOptions(options.lr)));
    case OptimiserType::kSgd:
      break;
  }
  return std::make_shared<torch::optim::SGD>(trained, torch::optim::SGDOptions(options.lr)
                                                          .momentum(options.momentum)
                                                          .nesterov(options.nesterov)
                                                          .weight_decay(options.weight_decay));
}

void set_learning_rate(Optimizer& optimiser, double lr) {
  for (auto& group : optimiser.param_groups()) group.options().set_lr(lr);
}

std::map<std::string, at::Tensor> optimiser_state(const Optimizer& optimiser,
                                                  const NamedTensors& parameters) {
  std::map<std::string, at::Tensor> result;
  for (const auto& [name, parameter] : parameters) {
    OptimizerParamState* state = find_state(optimiser, parameter);
    if (state == nullptr) continue;
    const std::string prefix = name + ".";
    visit_tensors(*state, [&](const std::string& kind, const at::Tensor& tensor, const auto&) {
      if (tensor.defined()) result[prefix + kind] = tensor;
    });
    visit_step(*state, [&](int64_t step, const auto&) {
      result[prefix + "step"] = at::scalar_tensor(step, at::kLong);
    });
  }
  return result;
}

void set_optimiser_state(Optimizer& optimiser, const NamedTensors& parameters,
                         const std::map<std::string, at::Tensor>& state) {
  std::unordered_map<std::string, at::Tensor> by_name(parameters.begin(), parameters.end());
  optimiser.state().clear();
  for (const auto& [key, value] : state) {
    const auto [name, kind] = split_key(key);
    const auto parameter = by_name.find(name);
    if (parameter == by_name.end()) {
      throw Error("the optimiser's state '" + key + "' belongs to no parameter of the network");
    }
    auto& entry = optimiser.state()[parameter->second.unsafeGetTensorImpl()];
    if (entry == nullptr) entry = empty_state(optimiser);
    set_entry(*entry, parameter->second, key, kind, value);
  }
}

void replace_parameters(Optimizer& optimiser, const NamedTensors& before, const NamedTensors& after,
                        const StateCut& cut) {
  const std::unordered_map<std::string, at::Tensor> new_ones(after.begin(), after.end());
  std::unordered_map<const void*, at::Tensor> by_old;  // undefined: the parameter is gone
  std::vector<std::pair<void*, std::unique_ptr<OptimizerParamState>>> states;
  for (const auto& [name, old] : before) {
    const auto found = new_ones.find(name);
    by_old[old.unsafeGetTensorImpl()] = found == new_ones.end() ? at::Tensor() : found->second;
    if (found == new_ones.end()) continue;
    OptimizerParamState* state = find_state(optimiser, old);
    if (state == nullptr) continue;
    auto copy = state->clone();
    const std::string& parameter = name;
    visit_tensors(*copy, [&](const std::string&, const at::Tensor& tensor, const auto& set) {
      if (tensor.defined()) set(cut(parameter, tensor));
    });
    states.emplace_back(found->second.unsafeGetTensorImpl(), std::move(copy));
  }
  for (const auto& [name, old] : before) optimiser.state().erase(old.unsafeGetTensorImpl());
  for (auto& [key, state] : states) optimiser.state()[key] = std::move(state);
  for (auto& group : optimiser.param_groups()) {
    for (auto& parameter : group.params()) {
      const auto found = by_old.find(parameter.unsafeGetTensorImpl());
      if (found != by_old.end()) parameter = found->second;
    }
    std::erase_if(group.params(), [](const at::Tensor& parameter) { return !parameter.defined(); });
  }
}

}  // namespace cpd
