#pragma once

#include <cpd/cli/command.h>
#include <cpd/cli/data_argument.h>
#include <cpd/training/train.h>

#include <atomic>
#include <optional>
#include <string>
#include <utility>

namespace cpd::cli {

/// Adds `--epochs`, `--lr` and all other options of training.
void add_training_options(po::options_description& options);
/// The same and `--config`, for a command that only trains.
void add_training_with_config(po::options_description& options);

/// The configuration that `--config` names; an empty object if none is given. Throws cpd::Error.
Json training_config(const po::variables_map& values);
/// A configuration with the options of the command line over it. Throws UsageError or cpd::Error.
TrainOptions training_options(const po::variables_map& values, const Json& config);
/// Is any option of training given?
bool trains_by_options(const po::variables_map& values);
/// Sets what the options of the command line say. Throws UsageError.
void set_training_options(const po::variables_map& values, TrainOptions& options);

/// The images of a run: those to train on, and those held out to choose the best epoch by.
class TrainingImages {
 public:
  /// As `--data` and `--hold-out` say. Throws UsageError without `--data`.
  TrainingImages(const po::variables_map& values, const ImageShape& shape);

  TrainData sources();
  int64_t count() const { return training_.dataset().size(); }
  bool has_held_out() const { return held_out_.has_value(); }

 private:
  TrainingImages(const DataOptions& options, const ImageShape& shape,
                 std::pair<DatasetPointer, DatasetPointer> parts);

  Loader training_;
  std::optional<Loader> held_out_;
};

/// True once Ctrl-C was pressed; from the first call on, Ctrl-C no longer ends the program.
const std::atomic<bool>& interruption();

/// Trains, says how it went on standard error, and tells whether the run came to its end.
TrainResult train_with_progress(Trainable& network, TrainingImages& images,
                                const TrainOptions& options, const std::string& title,
                                Loss loss = nullptr, TrainingHooks hooks = {});

/// Throws cpd::Error for a run that was interrupted; says how it goes on.
void check_finished(const TrainResult& result, const TrainOptions& options);
/// Hands over what came of a finished run that was written to the file of `-o`; `more`: further
/// facts.
void deliver_trained(const po::variables_map& values, const TrainResult& result,
                     const Json& more = Json::object());

}  // namespace cpd::cli
