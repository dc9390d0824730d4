#pragma once

#include <cpd/algorithms/method.h>
#include <cpd/cli/command.h>
#include <cpd/cli/method_options.h>
#include <cpd/cli/training_options.h>
#include <cpd/plan/plan.h>

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cpd::cli {

/// What one run of `cpd prune` is asked for.
struct PruneTask {
  MethodOptions method{};
  std::vector<Level> levels{};
  std::optional<std::variant<Choices, Plan>> structure{};  ///< instead of a budget
  std::string structure_path{};
  bool dry = false;
};

/// What the methods work on.
struct MethodImages {
  CalibrationData calibration{};
  std::optional<TrainingImages> training{};
};
/// The images that the task needs. Throws UsageError where it needs some and there are none.
MethodImages read_images(const po::variables_map& values, const PruneTask& task,
                         const Model& model);

/// A network that was pruned, and what is to be said of it.
struct Pruned {
  std::unique_ptr<Algorithm> algorithm;
  Report report;
};

/// Runs the method of a task for one of its levels. Throws cpd::Error, also where a training was
/// interrupted.
Pruned run_method(const PruneTask& task, const Level& level, MethodImages& images,
                  std::shared_ptr<const Model> model);

/// For the levels that follow one that was pruned in one shot: takes its scores over, so that data
/// runs through the network once.
void keep_scores(PruneTask& task, ChannelMutator& mutator);

}  // namespace cpd::cli
