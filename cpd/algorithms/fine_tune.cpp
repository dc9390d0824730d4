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

}  // namespace cpd
