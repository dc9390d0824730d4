#pragma once

#include <cpd/mutators/channel_mutator.h>
#include <cpd/plan/groups.h>

namespace cpd {

/// The units of a mutator with all their members, as a file.
Groups groups_of(const ChannelMutator& mutator);
/// The same for a combed network whose units are as yet untouched.
Groups groups_of(const Model& model, const Combing& combing);
/// What of a network cannot shrink, and why.
std::vector<LockedEntry> locked_of(const Model& model, const Combing& combing);

/// Options that make the units as an edited file wants them: `frozen`, `min`, `max` and `divisor`
/// of each. Throws cpd::Error if the file differs from the network's own groups otherwise.
MutatorOptions with_groups(MutatorOptions options, const Groups& edited, const Model& model);

}  // namespace cpd
