#pragma once

#include <cpd/comb/compaction.h>
#include <cpd/cost/macs.h>

#include <memory>
#include <string>
#include <vector>

namespace cpd {

/// What a network costs for one sample.
struct Cost {
  int64_t macs = 0;              ///< multiply-accumulates of products, per sample
  int64_t parameters = 0;        ///< elements of parameters (no buffers)
  int64_t weight_bytes = 0;      ///< of parameters and buffers
  int64_t activation_bytes = 0;  ///< peak of live values, per sample

  /// Weights and peak activations for a batch, in bytes.
  int64_t memory(int64_t batch) const { return weight_bytes + batch * activation_bytes; }
  bool operator==(const Cost&) const = default;
};

struct OpCost {
  OpId op = -1;
  int64_t macs = 0;
};

/// Samples in the example inputs.
int64_t batch_of(const Model& model);

/// What a compact network costs, counted on its own graph.
Cost cost_of(const Model& model, const Compaction& compaction);

/// Counts what a network costs whatever is kept of it, from shapes alone.
///
/// MACs are those of convolutions, linear layers, matrix products, attention and recurrent layers;
/// biases, norms and pooling count nothing. They are per sample: the batch of the example is
/// divided out. What is counted for a keep equals what is counted on the exported network.
class CostModel {
 public:
  CostModel(const Model& model, const Combing& combing);
  ~CostModel();

  Cost dense() const;
  /// For searches over widths `CostsByWidth` is far faster.
  Cost of(const Keep& keep) const;
  /// MACs of each op that has any.
  std::vector<OpCost> by_op(const Keep& keep) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cpd
