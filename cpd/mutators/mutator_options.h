#pragma once

#include <cpd/comb/rule.h>
#include <cpd/cost/latency_table.h>
#include <cpd/dynamic_ops/op_table.h>
#include <cpd/importance/importance.h>
#include <cpd/units/mutable_channel_unit.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// How a mutator makes its units and scores their channels.
struct MutatorOptions {
  Importance importance = "l1";
  /// Divide the scores of a unit by their mean, so that units compare; by default for scores that
  /// look at weights alone.
  std::optional<bool> normalise{};
  /// Divide the scores of a unit by what one channel of it saves now: `macs`, `params`, `memory` or
  /// `latency` (Liu et al., Group Fisher Pruning, ICML 2021); empty: leave them.
  std::string per{};
  UnitOptions unit{};  ///< of all units
  /// What differs for some: a pattern (see `means`) and the difference. Later ones win.
  std::vector<std::pair<std::string, UnitOverride>> units{};
  std::vector<std::string> freeze{};  ///< patterns of units that stay whole
  std::vector<std::string> only{};    ///< patterns: all other units stay whole; empty: none does
  /// No unit is left with less than this fraction of its channels where a budget can be met
  /// otherwise: scores of one layer that are low throughout do not take it away.
  double floor = 0.1;
  bool exact_only = false;  ///< leave units whole that are not of level `exact`
  /// Offer residual blocks too, to be dropped as a whole; `only` patterns of their role ask for
  /// them as well.
  bool blocks = false;
  /// From which latencies are predicted; null: measured here when a budget needs it.
  std::shared_ptr<const LatencyTable> latency_table{};
  UnitFactory make_unit = unit_factory<MutableChannelUnit>();
  Rules rules = default_rules();                       ///< for combing
  DynamicOpTable dynamic_ops = default_dynamic_ops();  ///< for running
  uint64_t seed = 0;                                   ///< of everything that is random

  bool offers_blocks() const;
  bool normalises() const { return normalise.value_or(importance.needs == Needs::kWeights); }
};

/// Keys: `type` (ChannelMutator), `importance`, `normalise`, `per`, `unit`, `units`, `freeze`,
/// `only`, `floor`, `exact_only`, `blocks`, `seed`; `channel_unit_cfg` is taken for `unit` and
/// `units`, and a `type` in it such as `L1ChannelUnit` names the importance too.
void read_json(const Json& json, const std::string& path, MutatorOptions& options);
/// What of the options can be written in a configuration.
void to_json(Json& json, const MutatorOptions& options);

}  // namespace cpd
