#pragma once

#include <cpd/training/evaluate.h>
#include <cpd/training/hook.h>
#include <cpd/training/loss.h>
#include <cpd/training/train_options.h>

#include <atomic>
#include <optional>
#include <string>

namespace cpd {

/// What a run works on.
struct TrainData {
  BatchSource training;
  /// What decides which checkpoint is the best; without it, the training loss does.
  std::optional<BatchSource> validation{};
};

/// What a caller may add to a run.
struct TrainCallbacks {
  Loss loss = nullptr;  ///< null: cross entropy
  TrainingHooks hooks{};
  /// Once it is true, the run writes a checkpoint after the present step and ends: Ctrl-C.
  const std::atomic<bool>* interrupted = nullptr;
  bool quiet = false;  ///< no progress bar
  std::string title = "training";
};

/// What came of a run.
struct TrainResult {
  int64_t step = 0;          ///< steps done, those before a resumption too
  int64_t epoch = 0;         ///< epochs finished
  double loss = 0;           ///< mean over the last epoch
  bool interrupted = false;  ///< ended by `TrainCallbacks::interrupted`
  int64_t backoffs = 0;
  std::optional<Evaluation> evaluation{};  ///< the last one on the validation data
  int64_t best_epoch = 0;                  ///< epochs done at the best score
  double best_score = 0;                   ///< of `Evaluation::score`; without validation: -loss
};

/// Trains a network in place. The same seed, data and network give the same weights bit for bit on
/// one machine with one number of threads, whether or not the run was stopped and resumed between;
/// all that is random depends on the seed and the position in the run. The generator of random
/// numbers that LibTorch shares is left as it was.
///
/// With a moving average (`ema`), the averaged weights are what is evaluated, what `best.ckpt`
/// holds as `average`, and what the network has at the end.
///
/// Throws cpd::Error: options that make no sense, a checkpoint of another network or run, a folder
/// that cannot be written, a loss that is not finite or diverges (the message has the step and the
/// last good checkpoint).
TrainResult train(Trainable& network, const TrainData& data, const TrainOptions& options,
                  const TrainCallbacks& callbacks = {});

/// Puts the weights of a checkpoint into a network of the same names and shapes: the averaged ones
/// if it has any. Throws cpd::Error that names the file and what does not fit.
void load_weights(Trainable& network, const std::string& checkpoint);

}  // namespace cpd
