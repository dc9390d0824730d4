#include <cpd/algorithms/distillation.h>
#include <cpd/algorithms/fine_tune.h>
#include <cpd/algorithms/shrinking_network.h>

namespace cpd {

TrainResult fine_tune(ChannelMutator& mutator, const TrainData& data, const TrainOptions& options,
                      const TrainCallbacks& callbacks) {
  ShrinkingNetwork network(mutator);
  const TrainResult result = train(network, data, options, callbacks);
  network.write_back();
  return result;
}

TrainResult fine_tune(ChannelMutator& mutator, const TrainData& data, const TrainOptions& options,
                      TrainCallbacks callbacks, const Model& teacher,
                      const DistillOptions& distill) {
  ShrinkingNetwork network(mutator);
  if (!callbacks.loss) callbacks.loss = smoothed_cross_entropy(options.label_smoothing);
  callbacks.loss = Distillation(network, teacher, distill, callbacks.loss).loss();
  const TrainResult result = train(network, data, options, callbacks);
  network.write_back();
  return result;
}

}  // namespace cpd
