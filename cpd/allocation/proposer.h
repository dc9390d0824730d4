#pragma once

#include <cpd/allocation/greedy_descent.h>

#include <functional>
#include <optional>

namespace cpd {

/// An allocation for objectives that can only be evaluated (a measured latency, an accuracy on
/// validation images): it proposes ever smaller structures until one achieves the objective. Derive
/// from it for a search of one's own.
class Proposer {
 public:
  virtual ~Proposer() = default;
  /// The next, smaller widths; nullopt if there is nothing smaller.
  virtual std::optional<Widths> try_more() = 0;
};

/// Lowers the common ratio from 1 by `step` at a time.
class UniformProposer : public Proposer {
 public:
  /// Throws cpd::Error unless 0 < step < 1.
  explicit UniformProposer(const AllocationProblem& problem, double step = 0.05);
  std::optional<Widths> try_more() override;

 private:
  const AllocationProblem& problem_;
  Widths last_;
  double step_;
  int64_t proposals_ = 0;
};

/// Takes the steps that lose least score for the cost they save, `share` of all channels at a time.
class GreedyProposer : public Proposer {
 public:
  /// Throws cpd::Error unless 0 < share < 1.
  explicit GreedyProposer(const AllocationProblem& problem, double share = 0.02);
  std::optional<Widths> try_more() override;

 private:
  GreedyDescent descent_;
  int64_t channels_;  ///< to remove with each proposal
};

/// Asks for more until the objective is achieved; the first widths tried are the largest. Throws
/// cpd::Error if it is not achieved even with the last proposal.
Widths allocate_until(const AllocationProblem& problem, Proposer& proposer,
                      const std::function<bool(const Widths&)>& is_achieved);

/// Asks for more as long as something holds (an accuracy not below a bound, say), and gives the
/// last widths at which it did. Throws cpd::Error if it does not hold even at the largest.
Widths allocate_while(const AllocationProblem& problem, Proposer& proposer,
                      const std::function<bool(const Widths&)>& holds);

}  // namespace cpd
