#pragma once

#include <cpd/plan/choice.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// A unit as an allocation sees it: how many channels it may keep, and what each one is worth.
struct AllocationUnit {
  std::string name;
  Bounds bounds;
  /// One score per channel of each block; higher is more important.
  std::vector<std::vector<double>> scores;
  /// Units of one structure, whose scores compare; empty: a family of its own.
  std::string family = {};

  /// What is lost when k of the `bounds.of` channels are kept: the sum of the lowest scores of each
  /// block. `k` from 1 to `of`.
  double loss(int64_t k) const;
  /// Makes `loss` fast; call it after the scores are set.
  void prepare();
  /// Sets the losses from a table of errors instead: for 0, 1, ... `of` - 1 channels removed, and
  /// where all may go, `of`.
  void set_losses(std::vector<double> by_removed);
  bool prepared() const;

 private:
  std::vector<double> losses_;
};

/// Widths (channels kept per block) by unit, in the order of the problem's units.
using Widths = std::vector<int64_t>;

/// One cost that must not be exceeded.
struct Limit {
  std::string name;  ///< `macs`, `parameters`, ...
  double limit = 0;
  std::function<double(const Widths&)> cost;
};

struct AllocationProblem {
  std::vector<AllocationUnit> units;
  std::vector<Limit> limits;

  bool fits(const Widths& widths) const;
  double loss(const Widths& widths) const;
  Widths smallest() const;
  Widths largest() const;
  /// Throws cpd::Error if bounds contradict each other, scores are not finite, or the limits cannot
  /// be met even by the smallest widths: the message has the nearest that can.
  void verify() const;
};

struct Allocation {
  Widths widths;
  /// The limit that stopped the last step, its cost now and with the cheapest step more; empty if
  /// everything is kept.
  std::string stopped_by;
  double used = 0;
  double next = 0;
};

/// Keeps units from being left with next to nothing: each keeps `floor` of its channels at least,
/// or a half of that, a quarter and so on where the limits cannot be met otherwise.
void keep_from_collapse(AllocationProblem& problem, double floor);

/// Every unit keeps the same ratio of its channels: the rule, no search. A ratio in (0, 1].
Widths ratio_widths(const std::vector<AllocationUnit>& units, double ratio);

/// A common ratio as large as the limits allow, then single steps.
Allocation allocate_uniform(const AllocationProblem& problem);
/// The channels of lowest score anywhere go, then single steps come back where they fit.
Allocation allocate_global(const AllocationProblem& problem);
/// As `allocate_global`, but within each family: the same share of channels goes in all of them.
/// Fang et al., Isomorphic Pruning for Vision Models, ECCV 2024.
Allocation allocate_isomorphic(const AllocationProblem& problem);
/// Step by step whatever loses least score for the cost it saves at the present widths, then single
/// steps come back where they fit.
Allocation allocate_greedy(const AllocationProblem& problem);

/// Adds single steps, the most valuable first, until no step of any unit fits.
Allocation filled(const AllocationProblem& problem, Widths widths);

/// A way to choose widths: any callable over a problem will do.
struct Allocator {
  /// One of those that a configuration can name. Throws cpd::Error with the known names.
  Allocator(const char* known);  // NOLINT(google-explicit-constructor): `.allocation = "greedy"`
  Allocator(const std::string& known);  // NOLINT(google-explicit-constructor)
  /// One of one's own.
  Allocator(std::string own_name, std::function<Allocation(const AllocationProblem&)> own)
      : name(std::move(own_name)), allocate(std::move(own)) {}

  std::string name;
  std::function<Allocation(const AllocationProblem&)> allocate;
};
/// The allocations that a configuration can name: `uniform`, `global`, `isomorphic`, `greedy`,
/// `dynamic_programme`, `annealing`.
std::vector<Allocator> allocators();
/// Throws cpd::Error with the known names.
Allocator find_allocator(const std::string& name);

}  // namespace cpd
