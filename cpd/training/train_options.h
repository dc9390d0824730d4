#pragma once

#include <cpd/core/json.h>
#include <cpd/training/optimiser.h>
#include <cpd/training/schedule.h>

#include <cstdint>
#include <string>

namespace cpd {

/// How a network is trained. A step is one update of the weights.
struct TrainOptions {
  int64_t epochs = 10;
  OptimiserOptions optimiser{};
  ScheduleOptions schedule{};
  double label_smoothing = 0;  ///< of the default loss
  double mixup = 0;            ///< alpha of Zhang et al., mixup, ICLR 2018; 0: images are not mixed
  double clip = 0;             ///< largest norm of all gradients together; 0: any
  int64_t accumulate = 1;      ///< batches whose gradients make a step
  double ema = 0;              ///< decay of the weights' moving average, which is what is evaluated
  bool bf16 = false;           ///< run products in bfloat16 (autocast)
  std::string device = "cpu";
  uint64_t seed = 0;
  int64_t evaluate_every = 1;  ///< epochs between evaluations
  /// At the end the network has the weights of its best epoch, by the score on the validation data
  /// or else the loss, not those of its last one; of those since it was last made smaller.
  bool keep_best = false;

  /// Folder of `last.ckpt`, `best.ckpt` and `metrics.jsonl`; empty: none of them.
  std::string work_dir{};
  int64_t checkpoint_every = 0;  ///< steps between checkpoints, besides one after each epoch
  int64_t log_every = 0;         ///< steps between lines of metrics, besides one for each epoch
  bool tensorboard = false;      ///< metrics are in `work_dir` as events of TensorBoard, too
  /// A checkpoint to go on from; `auto`: the last one in `work_dir`, if there is one.
  std::string resume{};

  /// The loss diverges where its running mean exceeds this many times what it was at first (at
  /// least 1); 0: only a loss that is not finite stops the run.
  double divergence = 10;
  /// How often a run that diverges goes back to its last good checkpoint before it gives up.
  int64_t backoffs = 0;
  double backoff_factor = 0.1;  ///< of the learning rate from then on

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "train") const;
  bool operator==(const TrainOptions&) const = default;
};

/// Keys are the names of the fields.
void read_json(const Json& json, const std::string& path, TrainOptions& options);
void to_json(Json& json, const TrainOptions& options);

}  // namespace cpd
