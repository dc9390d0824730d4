#pragma once

#include <cpd/algorithms/algorithm.h>
#include <cpd/algorithms/sensitivity.h>
#include <cpd/allocation/annealing.h>
#include <cpd/compensation/compensation.h>
#include <cpd/distill/distill_options.h>
#include <cpd/importance/statistics.h>
#include <cpd/plan/report.h>
#include <cpd/training/train.h>

namespace cpd {

/// How `OneShot` prunes.
struct OneShotOptions {
  MutatorOptions mutator{};
  Allocator allocation = "global";
  AnnealingOptions annealing{};  ///< of the allocation `annealing`
  /// Let `annealing` try widths on data: made small is what the compensated network's outputs are
  /// off, not the score lost.
  bool anneals_on_data = false;
  /// Choose widths by what the outputs are off when one unit alone keeps fewer channels, not by the
  /// scores lost; which channels go, scores say.
  std::optional<SensitivityOptions> sensitivity{};
  Budget budget{};
  /// The least score on validation data (accuracy; of label maps mean IoU): as much goes as leaves
  /// it, at most as the budget says; without a budget, as the units allow. 0: the budget alone.
  double min_accuracy = 0;
  CompensationOptions compensation{};
  CalibrationLoss loss = nullptr;  ///< null: cross entropy
  /// Training of what is left; nothing: none.
  std::optional<TrainOptions> train{};
  /// What is learnt from a teacher then; nothing, and no teacher: the labels alone.
  std::optional<DistillOptions> distill{};
  std::string teacher_file{};                    ///< a TorchScript file; JSON: `teacher`
  std::shared_ptr<const Model> teacher_model{};  ///< or a network; neither: the one that is pruned

  /// Does what is left learn from a teacher?
  bool distils() const { return distill || teacher_model || !teacher_file.empty(); }
  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "") const;
};

/// The best that is known for data at hand (docs/scores.md): what needs no choice of a user's.
OneShotOptions one_shot_with_data();
/// Does the score, the allocation or the compensation run data through the network?
bool needs_data(const OneShotOptions& options);

/// Keys: `type` (OneShot), `mutator` (also `mutator_cfg`), `allocation`, `sensitivity`, `budget`,
/// `min_accuracy`, `compensation`, `train`, `distill`, and `teacher` for a file.
/// `allocation` is a name, or an object with `type` and, for `annealing`, `steps`, `start`, `end`,
/// `seed` and `on_data`.
void read_json(const Json& json, const std::string& path, OneShotOptions& options);
void to_json(Json& json, const OneShotOptions& options);

/// Prunes a network once: scores, costs and a budget become a plan.
class OneShot : public Algorithm {
 public:
  /// Any network can be given, also one in which nothing can be pruned: only `run` refuses it.
  explicit OneShot(Model model, OneShotOptions options = {});
  /// With a mutator of one's own; of the options, `mutator` is not used.
  OneShot(std::unique_ptr<ChannelMutator> mutator, OneShotOptions options);

  std::string type() const override { return "OneShot"; }
  const OneShotOptions& options() const { return options_; }

  /// Prunes; `data` is for scores and compensations that need some. Afterwards the mutator holds
  /// the plan and the architecture runs with it. Throws cpd::Error if nothing can be pruned, the
  /// budget cannot be reached, or data is needed and there is none: also if the options train.
  Report run(const CalibrationData& data = {});
  /// The same with the images that `min_accuracy` is measured on.
  Report run(const CalibrationData& data, const BatchSource& validation);
  /// The same, and trains what is left, at its smaller size, as the options say. Throws as `train`
  /// does, too. A training that was interrupted goes on with `train.resume`, if the same data leads
  /// to the same plan.
  Report run(const CalibrationData& data, const TrainData& training, TrainCallbacks callbacks = {});
  /// What came of the training.
  const TrainResult& result() const { return result_; }
  /// The curves that the widths were chosen by, if the options ask for them.
  const Sensitivity& sensitivity() const { return sensitivity_; }
  /// Makes up for what is removed now, as the options say; part of `run`. For a structure from
  /// elsewhere. Throws cpd::Error if there is no data and some is needed.
  void compensate(const CalibrationData& data, Report& report);
  /// Trains what is left now, as the options say, which must do so; part of `run`.
  void train(const TrainData& data, TrainCallbacks callbacks, Report& report);

 private:
  void check_no_training() const;
  void allocate(const Budget& budget, const CalibrationData& data);
  Allocator allocator(const CalibrationData& data);
  Budget allocate_while_accurate(const CalibrationData& data, const BatchSource& validation,
                                 Report& report);
  double error_at(const Widths& widths, const CalibrationData& data);
  Report prune(const CalibrationData& data, const BatchSource* validation);

  OneShotOptions options_;
  TrainResult result_;
  Sensitivity sensitivity_;
};

}  // namespace cpd
