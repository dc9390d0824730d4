#pragma once

#include <cpd/comb/compaction.h>
#include <cpd/cost/latency_table.h>

#include <vector>

namespace cpd {

struct MeasureOptions {
  /// Ratios of channels kept in every group at which ops are measured.
  std::vector<double> ratios = {1, 0.75, 0.5, 0.25, 0.125};
  int64_t repeats = 7;  ///< of which the fastest counts
  int64_t warmup = 2;   ///< runs that do not count

  /// Throws cpd::Error naming the option.
  void verify() const;
};

/// Runs the network op by op on its example inputs at several widths, in this process, with the
/// threads that LibTorch is set to, and notes how long each op takes.
LatencyTable measure_latency(const Model& model, const Combing& combing,
                             const MeasureOptions& options = {});

/// Seconds of a run of a compact network on the model's example inputs: the median of the repeats.
double measure_network(const Model& model, const Compaction& compaction,
                       const MeasureOptions& options = {});

}  // namespace cpd
