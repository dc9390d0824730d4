#pragma once

#include <cpd/algorithms/sparsity_schedule.h>
#include <cpd/mutators/channel_mutator.h>

namespace cpd {

/// What to keep at a progress in [0, 1] on the way to a budget; at 1 the budget itself. Each of its
/// amounts goes the schedule's way from the dense value.
Budget step_budget(const Budget& budget, double progress, const SparsitySchedule& schedule,
                   ChannelMutator& mutator);

/// An allocation in which no unit of the mutator gets wider than it is now.
Allocator narrowing(const Allocator& allocator, const ChannelMutator& mutator);

}  // namespace cpd
