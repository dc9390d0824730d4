#pragma once

#include <cpd/cost/macs.h>

#include <string>
#include <vector>

namespace cpd {

/// How long an op took at one size.
struct LatencyPoint {
  double work = 0;  ///< `op_work`
  double seconds = 0;
  bool operator==(const LatencyPoint&) const = default;
};

/// How long an op takes at any size: straight lines between measured points.
struct OpLatency {
  std::string op;                    ///< its kind, to tell tables of other networks
  std::vector<LatencyPoint> points;  ///< ascending work, seconds that never fall
  bool operator==(const OpLatency&) const = default;

  /// Below the first point as long as there, above the last one in proportion.
  double seconds(double work) const;
};

/// Measured seconds of the ops of one network on one machine, from which the latency at any widths
/// is predicted: the sum over ops. Latency budgets hold on this prediction.
struct LatencyTable {
  std::string machine;
  int64_t threads = 1;
  int64_t batch = 1;           ///< for which the seconds are
  std::vector<OpLatency> ops;  ///< by op of the dense graph
  bool operator==(const LatencyTable&) const = default;

  /// Throws cpd::Error with the key's path if points are missing, negative or out of order.
  void verify() const;
  /// Throws cpd::Error if the table was measured on another network.
  void check(const Graph& graph) const;
};

/// What the time of an op depends on: its MACs or, without any, the elements that it reads and
/// writes.
double op_work(const Op& op, const ShapeOf& shape);

std::string to_json(const LatencyTable& table);
/// Throws cpd::Error with the key's path for anything that is no latency table of a known version.
LatencyTable latency_table_from_json(const std::string& text);

}  // namespace cpd
