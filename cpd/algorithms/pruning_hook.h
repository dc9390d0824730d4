#pragma once

#include <cpd/algorithms/regulariser.h>
#include <cpd/algorithms/shrinking_network.h>
#include <cpd/algorithms/sparsity_schedule.h>
#include <cpd/distill/distill_options.h>
#include <cpd/training/hook.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cpd {

/// What an interval counts.
enum class IntervalUnit { kIteration, kEpoch };

/// When a network is pruned while it trains, and how far.
struct PruningHookOptions {
  int64_t interval = 50;                       ///< between two prunings
  IntervalUnit by = IntervalUnit::kIteration;  ///< what the interval counts
  int64_t prunings = 10;                       ///< until the goal is reached
  SparsitySchedule schedule = "agp";
  /// The goal: what to keep.
  Budget budget{};
  /// Or fractions of the parameters that are removed, ascending; the last one is the goal. At each
  /// of them a checkpoint and a verified export are written to `work_dir`.
  std::vector<double> save_sparsity_thr{};
  /// The least score on the validation data (accuracy; of label maps mean IoU): a pruning that
  /// would leave less is put off by an interval, and again. 0: any.
  double min_accuracy = 0;
  /// What makes up for the channels that each pruning removes, on the last batches.
  CompensationOptions compensation{};
  /// What pulls channels to zero before they are removed.
  std::optional<Regulariser> regulariser{};
  bool continue_finetune = true;  ///< train on after the goal; otherwise the run ends there
  int priority = 100;             ///< among the hooks of a run
  std::string prune_cfg{};        ///< a `groups.json`, edited or not, for the mutator
  Allocator allocation = "global";
  MutatorOptions mutator{.importance = "fisher"};
  std::string work_dir{};
  /// What is learnt from a teacher meanwhile; nothing, and no teacher: the labels alone.
  std::optional<DistillOptions> distill{};
  std::string teacher_file{};                    ///< a TorchScript file; JSON: `teacher`
  std::shared_ptr<const Model> teacher_model{};  ///< or a network; neither: the one that is pruned

  /// Does the network learn from a teacher?
  bool distils() const { return distill || teacher_model || !teacher_file.empty(); }
  /// Throws cpd::Error with the key's path below `path`: a goal that is missing or not ascending.
  void verify(const std::string& path = "hook") const;
};

/// Keys are the names of the fields, `type` (PruningHook), `mutator_cfg` for `mutator`, and
/// `teacher` for a file.
void read_json(const Json& json, const std::string& path, PruningHookOptions& options);
void to_json(Json& json, const PruningHookOptions& options);

/// The mutator that a hook's options describe: `mutator`, restricted as `prune_cfg` says.
std::unique_ptr<ChannelMutator> make_mutator(Model model, const PruningHookOptions& options);

/// Prunes a network step by step while it trains, and really shrinks it as it goes. As a hook of
/// `train`, of which `network()` is to be the network:
///
///     auto hook = std::make_shared<PruningHook>(mutator, options);
///     train(hook->network(), data, train_options, {.hooks = {hook}});
///
/// or in a loop of one's own:
///
///     PruningHook hook(mutator, options);
///     hook.attach(optimiser);  // whose parameters are hook.network().parameters()
///     Loss loss = hook.loss(smoothed_cross_entropy(0));
///     for (int64_t i = 1; ...; ++i) {
///       ... loss({hook.network().forward(images)}, batch); backward;
///       hook.regularise();  // where there is a regulariser
///       optimiser.step();
///       hook.after_iteration(i);
///     }
///
/// The loss is to be a mean over the samples of a batch. Scores that only look at gradients of
/// gates (fisher, hessian, taylor) are gathered by the backward passes of the training itself;
/// other scores from data take the images of the last batches.
class PruningHook : public TrainingHook {
 public:
  /// The mutator must outlive the hook. `path` is that of the options in a configuration. Throws
  /// cpd::Error if nothing can be pruned, the options make no sense or the goal cannot be reached.
  PruningHook(ChannelMutator& mutator, PruningHookOptions options,
              const std::string& path = "hook");
  ~PruningHook() override;

  std::string name() const override { return "PruningHook"; }
  int priority() const override;
  const PruningHookOptions& options() const;
  /// What is to be trained.
  ShrinkingNetwork& network();
  /// Prunings that are done; the goal is reached.
  int64_t prunings() const;
  bool is_done() const;
  /// The files that were written at thresholds.
  const std::vector<std::string>& exports() const;
  /// The score that the last pruning would have left, if it was put off for `min_accuracy`.
  std::optional<double> refused_score() const;
  /// What the compensations left as it was and why, one line each.
  const std::vector<std::string>& notes() const;

  // In a loop of one's own.
  /// The optimiser whose parameters follow the network. It must outlive the hook's use.
  void attach(torch::optim::Optimizer& optimiser);
  /// Adds what the regulariser says to the gradients; before each update of the weights.
  void regularise();
  /// After the i-th update of the weights, from 1. With intervals of epochs, i counts epochs. True
  /// if the network was pruned: its parameters are new ones, the optimiser's too. Throws cpd::Error
  /// with `min_accuracy`: only `train` has validation data.
  bool after_iteration(int64_t i);
  /// True after the goal without `continue_finetune`.
  bool wants_to_stop() const;

  /// A loss against the labels, with what is learnt from the teacher; the same loss where there is
  /// none. Called with what the network has just made of the batch's images. Throws cpd::Error
  /// where teacher and network do not fit.
  Loss loss(Loss own) override;

  // In a run of `train`.
  void before_run(TrainingRun& run) override;
  void before_update(TrainingRun& run) override;
  void after_iteration(TrainingRun& run) override;
  void after_epoch(TrainingRun& run) override;
  void after_run(TrainingRun& run) override;
  Checkpoint state() const override;
  void load_state(const Checkpoint& state, TrainingRun& run) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cpd
