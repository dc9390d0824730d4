#pragma once

#include <cpd/algorithms/algorithm.h>
#include <cpd/algorithms/pruning_hook.h>
#include <cpd/distill/distill_options.h>
#include <cpd/plan/report.h>
#include <cpd/training/train.h>

#include <memory>
#include <optional>

namespace cpd {

/// How `Iterative` prunes and trains.
struct IterativeOptions {
  MutatorOptions mutator{.importance = "fisher"};
  Allocator allocation = "global";
  Budget budget{};
  SparsitySchedule schedule = "agp";
  int64_t interval = 50;                       ///< between two prunings
  IntervalUnit by = IntervalUnit::kIteration;  ///< what the interval counts
  int64_t prunings = 10;                       ///< until the budget is met
  /// The least score on the validation data: a pruning that would leave less is put off by an
  /// interval, and again, so that the budget may not be met. 0: any.
  double min_accuracy = 0;
  CompensationOptions compensation{};        ///< for what each pruning removes, on the last batches
  std::optional<Regulariser> regulariser{};  ///< pulls channels to zero before they are removed
  TrainOptions train{};
  /// What is learnt from a teacher meanwhile; nothing, and no teacher: the labels alone.
  std::optional<DistillOptions> distill{};
  std::string teacher_file{};                    ///< a TorchScript file; JSON: `teacher`
  std::shared_ptr<const Model> teacher_model{};  ///< or a network; neither: the one that is pruned

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "") const;
};

/// Keys: `type` (Iterative), the names of the fields, `mutator_cfg` for `mutator`, and `teacher`
/// for a file.
void read_json(const Json& json, const std::string& path, IterativeOptions& options);
void to_json(Json& json, const IterativeOptions& options);

/// Prunes while it trains: scores the channels by what the training shows, removes a little, trains
/// on at the smaller size, until the budget is met; the rest of the training is recovery.
class Iterative : public Algorithm {
 public:
  explicit Iterative(Model model, IterativeOptions options = {});
  /// With a mutator of one's own; of the options, `mutator` is not used.
  Iterative(std::unique_ptr<ChannelMutator> mutator, IterativeOptions options);

  std::string type() const override { return "Iterative"; }
  const IterativeOptions& options() const { return options_; }

  /// Trains and prunes. Afterwards the mutator holds the plan, relative to the network that was
  /// given, and the architecture runs with the trained weights. A run that was interrupted goes on
  /// with `train.resume`; its report is that of the network as it is. Throws cpd::Error if nothing
  /// can be pruned, the budget cannot be reached or the training is too short for it, and as
  /// `train` does.
  Report run(const TrainData& data, TrainCallbacks callbacks = {});
  /// What came of the training.
  const TrainResult& result() const { return result_; }

 private:
  IterativeOptions options_;
  TrainResult result_;
};

}  // namespace cpd
