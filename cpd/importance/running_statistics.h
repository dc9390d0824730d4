#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/dynamic_ops/dynamic_model.h>
#include <cpd/importance/statistics.h>

#include <map>
#include <memory>
#include <string>

namespace cpd {

/// The gradients of gates, gathered while a network trains, with no pass of their own: a dynamic
/// model runs with `observer()`, and its backward pass does the rest. Of `UnitStatistics` it fills
/// `gate`, `gate_abs` and `gate_square`. The loss must be a mean over the samples of the batch.
class RunningStatistics {
 public:
  /// The dynamic model must run `model` in masked mode; both must outlive the result.
  RunningStatistics(const Model& model, const Combing& combing);
  ~RunningStatistics();
  RunningStatistics(RunningStatistics&&) noexcept;
  RunningStatistics& operator=(RunningStatistics&&) noexcept;

  /// For one forward pass over `samples` samples with gradients. Takes in what the backward pass of
  /// the forward pass before has brought.
  RunObserver observer(int64_t samples);
  /// What all backward passes up to now have brought.
  Statistics statistics();
  /// Forgets all of it.
  void clear();

  /// The sums by name, for a checkpoint.
  std::map<std::string, at::Tensor> state();
  /// Throws cpd::Error if they are of another network.
  void set_state(const std::map<std::string, at::Tensor>& state);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Does an importance of this name need no more than these?
bool gates_suffice(const std::string& importance);

}  // namespace cpd
