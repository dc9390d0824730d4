#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/core/json.h>
#include <cpd/dynamic_ops/dynamic_model.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace torch::optim {
class Optimizer;
}

namespace cpd {

enum class OptimiserType { kSgd, kAdam, kAdamW };

/// Which of LibTorch's optimisers, and its numbers.
struct OptimiserOptions {
  OptimiserType type = OptimiserType::kSgd;
  double lr = 0.1;
  double momentum = 0.9;  ///< SGD
  bool nesterov = false;  ///< SGD
  double weight_decay = 0;
  double beta1 = 0.9;     ///< Adam, AdamW
  double beta2 = 0.999;   ///< Adam, AdamW
  double epsilon = 1e-8;  ///< Adam, AdamW

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "optimiser") const;
  bool operator==(const OptimiserOptions&) const = default;
};

/// Keys: `type` (SGD, Adam, AdamW), `lr`, `momentum`, `nesterov`, `weight_decay`, `betas`,
/// `epsilon`; or the type's name alone.
void read_json(const Json& json, const std::string& path, OptimiserOptions& options);
void to_json(Json& json, const OptimiserOptions& options);

/// An optimiser of all parameters that require a gradient. Throws cpd::Error if none does.
std::shared_ptr<torch::optim::Optimizer> make_optimiser(const OptimiserOptions& options,
                                                        const NamedTensors& parameters);
void set_learning_rate(torch::optim::Optimizer& optimiser, double lr);

// What an optimiser remembers of its parameters. These work on LibTorch's SGD, Adam, AdamW, RMSprop
// and Adagrad, whoever made them; another one's memory is an error that names it.

/// By parameter name and kind: `conv1.weight.momentum_buffer`, `conv1.weight.step`. Handles.
std::map<std::string, at::Tensor> optimiser_state(const torch::optim::Optimizer& optimiser,
                                                  const NamedTensors& parameters);
/// The reverse. Throws cpd::Error for a name or a shape that does not fit.
void set_optimiser_state(torch::optim::Optimizer& optimiser, const NamedTensors& parameters,
                         const std::map<std::string, at::Tensor>& state);

/// What becomes of a tensor of a parameter's state (momentum, say) when the parameter is cut;
/// undefined where the parameter is gone.
using StateCut = std::function<at::Tensor(const std::string& parameter, const at::Tensor& state)>;
/// Puts other tensors of the same names in the place of an optimiser's parameters, groups and
/// their options as they were. Parameters whose names are not in `after` leave the optimiser.
void replace_parameters(torch::optim::Optimizer& optimiser, const NamedTensors& before,
                        const NamedTensors& after, const StateCut& cut);

}  // namespace cpd
