#pragma once

#include <cpd/importance/statistics.h>
#include <cpd/mutators/channel_mutator.h>

namespace cpd {

/// Scores the channels of all units by the mutator's importance, with one pass over the data if
/// that needs some. `loss` null: cross entropy. Throws cpd::Error if there is no data and some is
/// needed, or if the importance is one that only training shows.
void score_channels(ChannelMutator& mutator, const CalibrationData& data,
                    const CalibrationLoss& loss = nullptr);

}  // namespace cpd
