#pragma once

#include <cpd/core/json.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// How pruning proceeds from the dense network to a budget: for a progress in [0, 1] and the
/// fraction that is kept in the end, the fraction that is kept by then. Any such callable will do.
struct SparsitySchedule {
  using Keep = std::function<double(double progress, double end)>;

  /// One of those that a configuration can name. Throws cpd::Error with the known names.
  SparsitySchedule(const char* known);         // NOLINT(google-explicit-constructor)
  SparsitySchedule(const std::string& known);  // NOLINT(google-explicit-constructor)
  /// One of one's own; with progress 1 it must give `end`.
  SparsitySchedule(std::string own_name, Keep own_keep)
      : name(std::move(own_name)), keep(std::move(own_keep)) {}

  std::string name;
  Keep keep;
};

/// The schedules that a configuration can name: `one_pass` (everything at once), `linear`,
/// `exponential` (the same ratio of what is left each time), `agp` or `cubic` (fast at first: Zhu
/// and Gupta, To prune, or not to prune, 2017).
std::vector<SparsitySchedule> sparsity_schedules();

/// Reads the name of a schedule.
void read_json(const Json& json, const std::string& path, SparsitySchedule& schedule);
void to_json(Json& json, const SparsitySchedule& schedule);

}  // namespace cpd
