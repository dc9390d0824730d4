#pragma once

#include <cpd/training/checkpoint.h>
#include <cpd/training/evaluate.h>
#include <cpd/training/loss.h>
#include <cpd/training/optimiser.h>
#include <cpd/training/train_options.h>
#include <cpd/training/trainable.h>

#include <memory>
#include <string>
#include <vector>

namespace cpd {

/// A training run as its hooks see it.
class TrainingRun {
 public:
  virtual ~TrainingRun() = default;

  virtual const TrainOptions& options() const = 0;
  virtual Trainable& network() = 0;
  virtual torch::optim::Optimizer& optimiser() = 0;
  virtual int64_t step() const = 0;   ///< steps that are done
  virtual int64_t steps() const = 0;  ///< of the whole run
  virtual int64_t steps_per_epoch() const = 0;
  virtual int64_t epoch() const = 0;  ///< the present one, from 0
  virtual double loss() const = 0;    ///< of the last step
  /// A word for the progress bar: `20.5 M MACs`.
  virtual void set_status(const std::string& status) = 0;
  /// Facts for the next line of metrics.
  virtual Json& metrics() = 0;
  /// Writes a checkpoint of the run as it is now.
  virtual void save(const std::string& path) = 0;
  /// Ends the run after this step, as if it were done.
  virtual void stop() = 0;
  /// Tells the run that the network has other tensors now, of the same names: optimiser and moving
  /// average follow. `before` are the parameters that it had; `cut` makes of a tensor with the
  /// shape that a parameter or buffer had one with its present shape.
  virtual void replace_parameters(const NamedTensors& before, const StateCut& cut) = 0;
  virtual bool has_validation() const = 0;
  /// How well a network does on the run's validation data. Throws cpd::Error if there is none.
  virtual Evaluation validate(Trainable& network) = 0;
};

/// What happens besides training itself. Hooks run in ascending order of `priority`, those of the
/// same one in the order in which they were given.
class TrainingHook {
 public:
  virtual ~TrainingHook() = default;

  /// Unlike that of the other hooks of a run: its state is kept under it.
  virtual std::string name() const = 0;
  /// 0 (highest) to 100 (lowest).
  virtual int priority() const { return 50; }

  /// The loss of the run, made of the one that it would have without the hook. Asked for once, at
  /// the beginning.
  virtual Loss loss(Loss own) { return own; }
  /// Before the first step, also of a run that was resumed.
  virtual void before_run(TrainingRun&) {}
  /// With the gradients of a step, before the weights change.
  virtual void before_update(TrainingRun&) {}
  virtual void after_iteration(TrainingRun&) {}
  virtual void after_epoch(TrainingRun&) {}
  virtual void after_run(TrainingRun&) {}

  /// What of the hook a checkpoint has to hold.
  virtual Checkpoint state() const { return {}; }
  /// Puts the hook where it was, and the network into the shape that it had then: its weights are
  /// loaded afterwards. Comes before `before_run`.
  virtual void load_state(const Checkpoint&, TrainingRun&) {}
};
using TrainingHooks = std::vector<std::shared_ptr<TrainingHook>>;

/// A number from 0 to 100, or one of HIGHEST, VERY_HIGH, HIGH, ABOVE_NORMAL, NORMAL, BELOW_NORMAL,
/// LOW, VERY_LOW, LOWEST (0, 10, 30, 40, 50, 60, 70, 90, 100). Throws cpd::Error.
int read_priority(const Json& json, const std::string& path);

}  // namespace cpd
