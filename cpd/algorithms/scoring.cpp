#include <cpd/algorithms/scoring.h>
#include <cpd/core/error.h>

namespace cpd {

void score_channels(ChannelMutator& mutator, const CalibrationData& data,
                    const CalibrationLoss& loss) {
  const Importance& importance = mutator.options().importance;
  if (importance.needs == Needs::kWeights) {
    mutator.score();
    return;
  }
  if (importance.needs == Needs::kTraining) {
    throw Error("importance '" + importance.name + "' is learnt while a network trains",
                {.path = "mutator.importance"}, "Iterative, or another one such as taylor");
  }
  if (data.empty()) throw Error("importance '" + importance.name + "' needs data", {}, "samples");
  StatisticsOptions options = statistics_for(importance.needs);
  options.loss = loss;
  options.seed = mutator.options().seed;
  const Statistics statistics =
      gather_statistics(mutator.dense(), mutator.combing(), data, options);
  mutator.score(&statistics);
}

}  // namespace cpd
