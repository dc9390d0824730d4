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

/// The configuration file, if one is given, with the options of the command line over it. Throws
/// UsageError or cpd::Error.
TrainOptions training_options(const po::variables_map& values);

/// The images of a run: those to train on, and those held out to choose the best epoch by.
class TrainingImages {
 public:
  /// As `--data` and `--hold-out` say. Throws UsageError without `--data`.
  TrainingImages(const po::variables_map& values, const ImageShape& shape);

  TrainData sources();
  int64_t count() const { return training_.dataset().size(); }

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
                                Loss loss = nullptr);

/// Writes the network of a finished run and hands over what came of it. Throws cpd::Error for a run
/// that was interrupted.
void deliver_trained(const po::variables_map& values, const DynamicModel& network,
                     const TrainResult& result);

}  // namespace cpd::cli
