#pragma once

#include <cpd/core/json.h>

#include <cstdint>

namespace cpd {

/// Watches the loss of a run: has it left where it began for good?
class DivergenceWatch {
 public:
  /// The running mean may be `factor` times the first loss, at least `factor`; 0: any.
  explicit DivergenceWatch(double factor) : factor_(factor) {}

  /// Takes in the loss of a step; true if the run diverges: not finite, or far above its beginning.
  bool diverges(double loss);

  Json state() const;
  void set_state(const Json& state);

 private:
  double factor_;
  int64_t steps_ = 0;
  double first_ = 0;
  double running_ = 0;  ///< exponential mean
};

}  // namespace cpd
