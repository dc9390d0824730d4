#pragma once

#include <cpd/core/json.h>
#include <cpd/mutators/channel_mutator.h>

namespace cpd::coverage {

/// How much of a network can be pruned, and what stays and why.
struct Shares {
  double prunable = 0;     ///< of parameters: those of tensors that a mutable unit cuts
  double removable = 0;    ///< of parameter elements: those that a mutable unit can remove
  double macs = 0;         ///< of MACs: those of ops that get smaller with the smallest widths
  int64_t parameters = 0;  ///< elements that the forward pass reads
  /// For each reason the elements that stay, with the first op that is to blame.
  Json stays = Json::object();
};

/// Parameters that the forward pass does not read (auxiliary heads) are left out.
Shares shares_of(const ChannelMutator& mutator);

}  // namespace cpd::coverage
