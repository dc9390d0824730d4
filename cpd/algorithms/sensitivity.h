#pragma once

#include <cpd/importance/statistics.h>
#include <cpd/mutators/channel_mutator.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cpd {

/// At which widths units are tried.
struct SensitivityOptions {
  std::vector<double> keep{0.9, 0.75, 0.5, 0.25, 0.1};  ///< parts of a unit's channels
  int64_t samples = 128;                                ///< of the data at most
  bool quiet = false;                                   ///< show no progress

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path) const;
  bool operator==(const SensitivityOptions&) const = default;
};

/// Keys: `keep`, `samples`.
void read_json(const Json& json, const std::string& path, SensitivityOptions& options);
void to_json(Json& json, const SensitivityOptions& options);

/// What the outputs are off by when one unit alone keeps fewer channels: mean squared difference
/// from the whole network's, relative to their mean square.
struct SensitivityCurve {
  std::vector<int64_t> widths;  ///< descending, all channels first
  std::vector<double> errors;   ///< at these

  /// On straight lines between the widths, and beyond the last one on the line through it and the
  /// one before; where a measured error falls as more is removed, what was there before.
  double at(int64_t width) const;
  /// Throws cpd::Error if the two do not fit, or an error is no number.
  void verify() const;
};
using Sensitivity = std::map<std::string, SensitivityCurve>;

/// The curve of each unit that can be pruned: its channels go by their scores, which the mutator
/// must have; nothing makes up for them. The mutator keeps what it kept. After Li et al., Pruning
/// Filters for Efficient ConvNets (ICLR 2017), with the outputs in place of the accuracy, so that
/// no labels are needed. Throws cpd::Error for data that does not fit.
Sensitivity measure_sensitivity(ChannelMutator& mutator, const CalibrationData& data,
                                const SensitivityOptions& options = {});

/// The same allocation with what the curves say in place of scores: what is lost by a unit is its
/// error. Units without a curve keep their scores.
Allocator by_sensitivity(const Allocator& allocator, Sensitivity curves);

}  // namespace cpd
