#pragma once

#include <cpd/comb/compaction.h>
#include <cpd/dynamic_ops/derived_tensors.h>
#include <cpd/model/execution.h>
#include <cpd/model/model.h>

#include <set>

namespace cpd {

/// The network at its cut widths, made ready to run: the compact graph, its execution, and the
/// parameters sliced out of the full ones as they are needed.
class CompactForm {
 public:
  CompactForm(const Model& model, const Combing& combing, const Keep& keep, const Rules& rules);

  const Compaction& compaction() const { return compaction_; }
  const Execution& execution() const { return execution_; }
  /// The op of the compact graph that makes a value; -1 if it has become a constant.
  OpId producer(ValueId value) const { return execution_.graph().value(value).producer; }

  /// Puts sliced parameters and constants into `values` (one entry for each compact value).
  void bind(Tensors& values);
  /// Puts one of them there, if `value` is a constant of the compact graph.
  void bind_constant(ValueId value, Tensors& values) const;
  /// Carries what a training run has written into sliced running statistics over to the full ones.
  void write_back(const Tensors& values) const;
  /// Forgets slices that were kept for inference.
  void forget() { slices_.clear(); }

 private:
  const Model* model_;
  Compaction compaction_;
  Execution execution_;
  DerivedTensors slices_;
  std::set<ValueId> statistics_;  ///< running statistics that are cut
};

/// The compact network as a model of its own: every parameter sliced and copied, names kept, those
/// of dropped blocks left out.
/// Constants that only the compact graph has are added to the table.
Model compact_model(const Model& model, const Compaction& compaction);

}  // namespace cpd
