#pragma once

#include <cpd/distill/distill_options.h>
#include <cpd/mutators/channel_mutator.h>
#include <cpd/training/train.h>

namespace cpd {

/// Trains the network of a mutator as it is pruned now, at its smaller size; afterwards the mutator
/// has the weights. Throws cpd::Error as `train` does.
TrainResult fine_tune(ChannelMutator& mutator, const TrainData& data, const TrainOptions& options,
                      const TrainCallbacks& callbacks = {});
/// The same while it learns from a teacher as well.
TrainResult fine_tune(ChannelMutator& mutator, const TrainData& data, const TrainOptions& options,
                      TrainCallbacks callbacks, const Model& teacher,
                      const DistillOptions& distill);

}  // namespace cpd
