#include <cpd/algorithms/distillation.h>
#include <cpd/algorithms/fine_tune.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/algorithms/reporting.h>
#include <cpd/algorithms/scoring.h>
#include <cpd/algorithms/step_budget.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/importance/calibration.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace cpd {
namespace {

class Clock {
 public:
  /// Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Samples and rows with which `annealing` tries widths.
constexpr int64_t kTrialSamples = 128, kTrialRows = 8000;

/// Halvings of the way to the budget on which `min_accuracy` is looked for.
constexpr int kHalvings = 7;

/// What the network costs with the smallest widths of its units.
Budget smallest(ChannelMutator& mutator) {
  Budget budget{.macs = Amount(1.0, true)};
  const AllocationProblem problem = mutator.problem(budget);
  budget.macs = Amount(problem.limits.front().cost(problem.smallest()), false);
  return budget;
}

void read_allocation(const Json& json, const std::string& path, OneShotOptions& options) {
  std::string name;
  if (json.is_string()) {
    read_json(json, path, name);
  } else {
    JsonObject object(json, path);
    AnnealingOptions& annealing = options.annealing;
    object.require("type", name)
        .read("steps", annealing.steps)
        .read("start", annealing.start)
        .read("end", annealing.end)
        .read("seed", annealing.seed)
        .read("on_data", options.anneals_on_data)
        .finish();
    annealing.verify();
  }
  options.allocation = name;
}

Json allocation_json(const OneShotOptions& options) {
  if (!options.anneals_on_data) return options.allocation.name;
  return {{"type", options.allocation.name},  {"steps", options.annealing.steps},
          {"start", options.annealing.start}, {"end", options.annealing.end},
          {"seed", options.annealing.seed},   {"on_data", true}};
}

}  // namespace

OneShotOptions one_shot_with_data() {
  OneShotOptions options;
  options.mutator.importance = "obs";
  options.allocation = "greedy";
  options.compensation.type = CompensationType::kRefit;
  return options;
}

bool needs_data(const OneShotOptions& options) {
  return options.mutator.importance.needs != Needs::kWeights || options.anneals_on_data ||
         options.sensitivity.has_value() || options.compensation.type != CompensationType::kNone;
}

void OneShotOptions::verify(const std::string& path) const {
  check_range(key_path(path, "min_accuracy"), min_accuracy, 0, 1);
  budget.verify(key_path(path, "budget"));
  if (sensitivity) sensitivity->verify(key_path(path, "sensitivity"));
  if (train) train->verify(key_path(path, "train"));
  if (distill) distill->verify(key_path(path, "distill"));
  if (distils() && !train) {
    throw Error("there is a teacher, but nothing that trains",
                {.path = key_path(path, distill ? "distill" : "teacher")}, "a key train beside it");
  }
}

void read_json(const Json& json, const std::string& path, OneShotOptions& options) {
  JsonObject object(json, path);
  std::string type = "OneShot";
  object.read("type", type);
  if (type != "OneShot") throw_wrong_type(json.at("type"), key_path(path, "type"), "OneShot");
  object.read("mutator", options.mutator).read("mutator_cfg", options.mutator);
  if (const Json* allocation = object.take("allocation")) {
    read_allocation(*allocation, key_path(path, "allocation"), options);
  }
  object.read("sensitivity", options.sensitivity)
      .read("budget", options.budget)
      .read("min_accuracy", options.min_accuracy)
      .read("compensation", options.compensation)
      .read("train", options.train)
      .read("distill", options.distill)
      .read("teacher", options.teacher_file)
      .finish();
}

void to_json(Json& json, const OneShotOptions& options) {
  json = Json{{"type", "OneShot"},
              {"mutator", options.mutator},
              {"allocation", allocation_json(options)},
              {"budget", options.budget},
              {"min_accuracy", options.min_accuracy},
              {"compensation", options.compensation},
              {"teacher", options.teacher_file}};
  if (options.sensitivity) json["sensitivity"] = *options.sensitivity;
  if (options.train) json["train"] = *options.train;
  if (options.distill) json["distill"] = *options.distill;
}

OneShot::OneShot(Model model, OneShotOptions options)
    : Algorithm(std::make_unique<ChannelMutator>(std::move(model), options.mutator)),
      options_(std::move(options)) {}

OneShot::OneShot(std::unique_ptr<ChannelMutator> mutator, OneShotOptions options)
    : Algorithm(std::move(mutator)), options_(std::move(options)) {}

void OneShot::allocate(const Budget& budget, const CalibrationData& data) {
  const Allocator own = allocator(data);
  mutator().allocate(budget, sensitivity_.empty() ? own : by_sensitivity(own, sensitivity_));
}

Allocator OneShot::allocator(const CalibrationData& data) {
  if (options_.allocation.name != "annealing") return options_.allocation;
  AnnealingOptions annealing = options_.annealing;
  if (options_.anneals_on_data) {
    if (data.empty()) throw Error("annealing on data needs data", {}, "samples");
    const auto trial = std::make_shared<const CalibrationData>(
        first_samples(mutator().dense(), data, kTrialSamples));
    annealing.objective = [this, trial](const Widths& widths) { return error_at(widths, *trial); };
  }
  return {"annealing", [annealing](const AllocationProblem& problem) {
            return allocate_annealing(problem, annealing);
          }};
}

/// Looks for the farthest step towards the budget that leaves the accuracy, and takes it; returns
/// the budget if that is met.
Budget OneShot::allocate_while_accurate(const CalibrationData& data, const BatchSource& validation,
                                        Report& report) {
  const auto accuracy = [&] {
    return evaluate(*trainable(mutator().model()), validation, {.quiet = true}).score();
  };
  const double dense = accuracy(), least = options_.min_accuracy;
  report.accuracy["dense"] = dense;
  if (dense < least) {
    throw Error("the accuracy is only " + percent_text(dense) + " before anything is pruned",
                {.path = "min_accuracy"}, "at most that, not " + percent_text(least));
  }
  const Budget goal = options_.budget.empty() ? smallest(mutator()) : options_.budget;
  const auto budget_at = [&](double progress) {
    return step_budget(goal, progress, "linear", mutator());
  };
  double good = 0, bad = 1, present = 0;  // parts of the way to the budget
  Report attempt;                         // of `present`, which the network is pruned to
  const auto leaves = [&](double progress) {
    present = progress;
    attempt = report;
    mutator().set_values({});
    allocate(budget_at(progress), data);
    certify(mutator());
    compensate(data, attempt);
    attempt.accuracy["pruned"] = accuracy();
    return attempt.accuracy["pruned"] >= least;
  };
  for (int i = 0; i <= kHalvings && good < 1; ++i) {
    const double progress = i == 0 ? 1 : (good + bad) / 2;
    (leaves(progress) ? good : bad) = progress;
  }
  if (present != good) leaves(good);
  report = attempt;
  report.notes.push_back("pruned as far as leaves an accuracy of " + percent_text(least) + ": " +
                         percent_text(report.accuracy["pruned"]) + " on the validation data, " +
                         percent_text(dense) + " before");
  return good == 1 ? options_.budget : Budget{};
}

/// How far the outputs are off with these widths after compensation.
double OneShot::error_at(const Widths& widths, const CalibrationData& data) {
  Choices choices;
  size_t next = 0;
  for (const auto* unit : mutator().mutable_units()) choices[unit->name()] = widths[next++];
  mutator().set_choices(choices);
  CompensationOptions options = options_.compensation;
  options.positions = std::min(options.positions, kTrialRows);
  options.recalibrate = false;
  options.quiet = true;
  return cpd::compensate(mutator().dense(), mutator().combing(), mutator().keep(), data, options,
                         mutator().options().rules)
      .error_after;
}

void OneShot::compensate(const CalibrationData& data, Report& report) {
  const CompensationOptions& options = options_.compensation;
  if (options.type == CompensationType::kNone) return;
  if (data.empty()) {
    throw Error(std::string("compensation '") + name_of(options.type) + "' needs data", {},
                "samples");
  }
  const Compensation result =
      cpd::compensate(mutator().dense(), mutator().combing(), mutator().keep(), data, options,
                      mutator().options().rules);
  mutator().set_values(result.values);
  report.notes.push_back(std::string("compensation '") + name_of(options.type) + "' on " +
                         std::to_string(result.samples) + " samples: outputs are off by " +
                         percent_text(std::sqrt(result.error_after)) + " instead of " +
                         percent_text(std::sqrt(result.error_before)));
  report.notes.insert(report.notes.end(), result.notes.begin(), result.notes.end());
}

Report OneShot::run(const CalibrationData& data) {
  check_no_training();
  return prune(data, nullptr);
}

Report OneShot::run(const CalibrationData& data, const BatchSource& validation) {
  check_no_training();
  return prune(data, &validation);
}

void OneShot::check_no_training() const {
  if (!options_.train) return;
  throw Error("the method trains, and there is no training data", {.path = "train"},
              "labelled images, or no training");
}

Report OneShot::run(const CalibrationData& data, const TrainData& training,
                    TrainCallbacks callbacks) {
  Report report = prune(data, training.validation ? &*training.validation : nullptr);
  if (options_.train) train(training, std::move(callbacks), report);
  return report;
}

void OneShot::train(const TrainData& data, TrainCallbacks callbacks, Report& report) {
  Clock clock;
  const TrainOptions& options = *options_.train;
  if (options_.distils()) {
    const auto teacher =
        teacher_of(options_.teacher_model, options_.teacher_file, mutator().dense(), "teacher");
    result_ = fine_tune(mutator(), data, options, std::move(callbacks), *teacher,
                        options_.distill.value_or(DistillOptions()));
  } else {
    result_ = fine_tune(mutator(), data, options, callbacks);
  }
  report.seconds["train"] = clock.lap();
  if (result_.evaluation) report.accuracy["pruned"] = result_.evaluation->score();
}

Report OneShot::prune(const CalibrationData& data, const BatchSource* validation) {
  options_.verify();
  if (options_.min_accuracy > 0 && validation == nullptr) {
    throw Error("there are no images to measure the accuracy on", {.path = "min_accuracy"},
                "validation data: --hold-out N on the command line");
  }
  mutator().check_prunable();
  mutator().set_values({});
  Clock clock;
  Report report = begin_report(mutator());
  report.algorithm = type();
  report.allocation = options_.allocation.name;

  if (report.importance == "hessian") {
    report.notes.push_back(
        "importance 'hessian' is the curvature of each channel's readers (K-FAC) "
        "with what a refit makes up for");
  }
  score_channels(mutator(), data, options_.loss);
  report.seconds["score"] = clock.lap();
  sensitivity_.clear();
  if (options_.sensitivity) {
    if (data.empty()) throw Error("curves of sensitivity need data", {}, "samples");
    sensitivity_ = measure_sensitivity(mutator(), data, *options_.sensitivity);
    report.seconds["sensitivity"] = clock.lap();
  }
  Budget budget = options_.budget;
  if (options_.min_accuracy > 0) {
    budget = allocate_while_accurate(data, *validation, report);
    report.seconds["allocate"] = clock.lap();
  } else {
    allocate(budget, data);
    report.seconds["allocate"] = clock.lap();
    certify(mutator());
    report.seconds["certify"] = clock.lap();
    compensate(data, report);
    report.seconds["compensate"] = clock.lap();
  }

  finish_report(report, mutator(), budget);
  add_scores(report, mutator());
  if (options_.min_accuracy > 0 && budget.empty()) report.stopped_by = "min_accuracy";
  return report;
}

}  // namespace cpd
