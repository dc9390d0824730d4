#include <cpd/algorithms/reporting.h>
#include <cpd/cli/arguments.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/method_run.h>
#include <cpd/cli/output.h>
#include <cpd/units/plan_of.h>

#include <map>

namespace cpd::cli {
namespace {

/// Sets what a plan or choices say.
Report apply_structure(ChannelMutator& mutator, const PruneTask& task) {
  mutator.check_prunable();
  Report report = begin_report(mutator);
  report.importance = "";
  at_path(task.structure_path, [&] {
    if (const Plan* plan = std::get_if<Plan>(&*task.structure)) {
      mutator.set_plan(*plan);
      report.algorithm = "plan " + task.structure_path;
      if (plan->model.weights != report.model.weights && !plan->model.weights.empty()) {
        warn(task.structure_path + " was made for other weights of this network");
      }
    } else {
      mutator.set_choices(std::get<Choices>(*task.structure));
      report.algorithm = "choices " + task.structure_path;
      report.importance = mutator.options().importance.name;
    }
  });
  certify(mutator);
  finish_report(report, mutator, {});
  return report;
}

TrainCallbacks callbacks_for(const char* title) {
  TrainCallbacks callbacks;
  callbacks.interrupted = &interruption();
  callbacks.title = title;
  return callbacks;
}

Pruned run_one_shot(const PruneTask& task, OneShotOptions options, MethodImages& images,
                    std::unique_ptr<ChannelMutator> mutator) {
  auto algorithm = std::make_unique<OneShot>(std::move(mutator), options);
  Report report;
  if (task.structure) {
    report = apply_structure(algorithm->mutator(), task);
    algorithm->compensate(images.calibration, report);
    if (options.train) {
      algorithm->train(images.training->sources(), callbacks_for("fine-tune"), report);
    }
  } else if (options.train) {
    report =
        algorithm->run(images.calibration, images.training->sources(), callbacks_for("fine-tune"));
  } else if (options.min_accuracy > 0) {
    const TrainData data = images.training->sources();
    report = algorithm->run(images.calibration, *data.validation);
  } else {
    report = algorithm->run(images.calibration);
  }
  if (options.train) check_finished(algorithm->result(), *options.train);
  return {std::move(algorithm), std::move(report)};
}

Pruned run_iterative(const IterativeOptions& options, MethodImages& images,
                     std::unique_ptr<ChannelMutator> mutator) {
  auto algorithm = std::make_unique<Iterative>(std::move(mutator), options);
  Report report = algorithm->run(images.training->sources(), callbacks_for("prune and train"));
  check_finished(algorithm->result(), options.train);
  return {std::move(algorithm), std::move(report)};
}

/// Learns from the unpruned network in the structure that is given, or chosen for a budget by the
/// weights alone.
Pruned run_distill(const PruneTask& task, const DistillAlgorithmOptions& options,
                   const Budget& budget, MethodImages& images,
                   std::unique_ptr<ChannelMutator> mutator) {
  if (task.structure) {
    apply_structure(*mutator, task);
  } else if (!budget.empty()) {
    mutator->allocate(budget);
    certify(*mutator);
  }
  auto algorithm = std::make_unique<Distill>(std::move(mutator), options);
  Report report = algorithm->run(images.training->sources(), callbacks_for("distill"));
  check_finished(algorithm->result(), options.train);
  finish_report(report, algorithm->mutator(), budget);
  return {std::move(algorithm), std::move(report)};
}

}  // namespace

MethodImages read_images(const po::variables_map& values, const PruneTask& task,
                         const Model& model) {
  MethodImages images;
  const auto* one_shot = std::get_if<OneShotOptions>(&task.method);
  const bool needs = one_shot != nullptr &&
                     (task.structure ? one_shot->compensation.type != CompensationType::kNone
                                     : needs_data(*one_shot));
  if (needs && given(values, "data")) {
    images.calibration = calibration_data(values, image_shape(model));
  }
  MethodOptions method = task.method;
  const double* least = min_accuracy_of(method);
  const bool measures = least != nullptr && *least > 0;
  if (measures && !(given(values, "data") && whole_of(values, "hold-out", 0) > 0)) {
    throw UsageError(
        "an accuracy that must be left can only be measured on labelled images; expected --data, "
        "and --hold-out N for those that are not trained on");
  }
  if (measures || train_options_of(method) != nullptr) {
    images.training.emplace(values, image_shape(model));
  }
  return images;
}

Pruned run_method(const PruneTask& task, const Level& level, MethodImages& images,
                  std::shared_ptr<const Model> model) {
  MethodOptions method = task.method;
  TrainOptions* train = train_options_of(method);
  // Each level is a run of its own.
  if (train != nullptr && !train->work_dir.empty() && !level.suffix.empty()) {
    train->work_dir += "/removed" + level.suffix;
  }
  auto mutator = std::make_unique<ChannelMutator>(std::move(model), mutator_options_of(method));
  if (auto* one_shot = std::get_if<OneShotOptions>(&method)) {
    one_shot->budget = level.budget;
    return run_one_shot(task, *one_shot, images, std::move(mutator));
  }
  if (auto* iterative = std::get_if<IterativeOptions>(&method)) {
    iterative->budget = level.budget;
    return run_iterative(*iterative, images, std::move(mutator));
  }
  return run_distill(task, std::get<DistillAlgorithmOptions>(method), level.budget, images,
                     std::move(mutator));
}

void keep_scores(PruneTask& task, ChannelMutator& mutator) {
  auto* one_shot = std::get_if<OneShotOptions>(&task.method);
  if (one_shot == nullptr || task.structure) return;
  std::map<std::string, Scores> known;
  for (size_t i = 0; i < mutator.units().size(); ++i) {
    known[mutator.units()[i]->name()] = mutator.scores()[i];
  }
  MutatorOptions& options = one_shot->mutator;
  options.importance = {
      options.importance.name,
      [known](const ChannelGroup& unit, const ScoreContext&) { return known.at(unit.name); }};
  options.normalise = false;
  options.per.clear();
}

}  // namespace cpd::cli
