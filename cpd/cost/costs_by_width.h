#pragma once

#include <cpd/cost/cost.h>
#include <cpd/cost/latency_table.h>

#include <memory>
#include <vector>

namespace cpd {

/// Costs of a network from the widths of its groups alone, made for searches: after a change of a
/// few widths only what they touch is counted again, in microseconds.
///
/// Widths are given by group, in the order of `Combing::groups`: how many channels of each block
/// are kept. Which ones does not matter to any cost. Not for several threads at once.
class CostsByWidth {
 public:
  /// `model` and `combing` must outlive it.
  CostsByWidth(const Model& model, const Combing& combing);
  ~CostsByWidth();

  /// All channels of each group.
  const std::vector<int64_t>& dense_widths() const;
  int64_t macs(const std::vector<int64_t>& widths);
  int64_t parameters(const std::vector<int64_t>& widths);
  /// Bytes of weights and of the peak of live values for a batch.
  int64_t memory(const std::vector<int64_t>& widths, int64_t batch);
  /// Kept channels of all blocks of all groups.
  int64_t channels(const std::vector<int64_t>& widths) const;
  /// Takes a table to predict latencies from. Throws cpd::Error if it is another network's.
  void set_latency_table(const LatencyTable& table);
  /// Predicted seconds for the table's batch: what its ops take at these widths. Throws cpd::Error
  /// without a table.
  double latency(const std::vector<int64_t>& widths);
  Cost of(const std::vector<int64_t>& widths);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Keeps the first channels of each block, as many as the widths say.
Keep prefix_keep(const Combing& combing, const std::vector<int64_t>& widths);

}  // namespace cpd
