#pragma once

#include <cpd/mutators/channel_mutator.h>

namespace cpd {

/// How much of a network can go, as fractions.
struct PrunableShare {
  double parameters = 0;  ///< elements of parameters that some mutable unit removes
  double macs = 0;        ///< MACs of the ops that become smaller at the smallest widths
};
PrunableShare prunable_share(const ChannelMutator& mutator);

}  // namespace cpd
