#pragma once

#include <cpd/allocation/allocation.h>

#include <cstdint>
#include <functional>

namespace cpd {

struct AnnealingOptions {
  int64_t steps = 2000;
  double start = 0.05;  ///< temperature as a fraction of the first objective
  double end = 1e-4;
  uint64_t seed = 0;
  /// What is made small: a calibration loss, say. Empty: the score lost.
  std::function<double(const Widths&)> objective = {};

  /// Throws cpd::Error naming the option.
  void verify() const;
};

/// Simulated annealing from the greedy solution: some channels of one unit for some of another, as
/// many as fit; worse ones are taken with a probability that falls with the temperature. The best
/// widths seen are the answer, with single steps where they fit. The same seed gives the same
/// widths. Kirkpatrick, Gelatt and Vecchi, Optimization by Simulated Annealing, Science 1983.
Allocation allocate_annealing(const AllocationProblem& problem, const AnnealingOptions& options);

}  // namespace cpd
