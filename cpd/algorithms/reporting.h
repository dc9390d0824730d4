#pragma once

#include <cpd/mutators/channel_mutator.h>
#include <cpd/plan/report.h>

namespace cpd {

/// What stands in a report before anything was pruned: the network, its units, what is locked.
Report begin_report(const ChannelMutator& mutator);
/// Adds what came of it: widths and costs as they are now, and how much of the budget was used.
/// The latency is the predicted one.
void finish_report(Report& report, ChannelMutator& mutator, const Budget& budget);
/// Adds what each unit lost of the scores that it was pruned by, to a finished report.
void add_scores(Report& report, ChannelMutator& mutator);

}  // namespace cpd
