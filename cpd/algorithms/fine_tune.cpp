#include <cpd/algorithms/distillation.h>
#include <cpd/algorithms/fine_tune.h>
#include <cpd/algorithms/shrinking_network.h>

namespace cpd {

namespace {

TrainResult train_and_write_back(ShrinkingNetwork& network, const TrainData& data,
                                 const TrainOptions& options, const TrainCallbacks& callbacks) {
  const TrainResult result = train(network, data, options, callbacks);
  network.write_back();
  return result;
}

}  // namespace

TrainResult fine_tune(ChannelMutator& mutator, const TrainData& data, const TrainOptions& options,
                      const TrainCallbacks& callbacks) {
  ShrinkingNetwork network(mutator);
  return train_and_write_back(network, data, options, callbacks);
}

TrainResult fine_tune(ChannelMutator& mutator, const TrainData& data, const TrainOptions& options,
                      TrainCallbacks callbacks, const Model& teacher,
                      const DistillOptions& distill) {
  ShrinkingNetwork network(mutator);
  if (!callbacks.loss) callbacks.loss = smoothed_cross_entropy(options.label_smoothing);
  callbacks.loss = Distillation(network, teacher, distill, callbacks.loss).loss();
  return train_and_write_back(network, data, options, callbacks);
}

}  // namespace cpd
