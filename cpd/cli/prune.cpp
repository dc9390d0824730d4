#include <cpd/algorithms/one_shot.h>
#include <cpd/algorithms/reporting.h>
#include <cpd/cli/arguments.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/method_options.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/cost/cost.h>
#include <cpd/cost/measure.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/units/plan_of.h>

#include <chrono>
#include <iostream>
#include <optional>
#include <variant>

namespace cpd::cli {
namespace {

using StructureFile = std::variant<Choices, Plan>;

void add_prune_options(po::options_description& options) {
  add_model_options(options);
  add_budget_options(options);
  options.add_options()("choices", value("FILE"), "keep what `cpd sample` wrote")(
      "plan", value("FILE"), "apply a plan.json or choices.json");
  add_method_options(options);
  add_unit_options(options);
  add_data_options(options);
  add_output_options(options, "the pruned network: .pt or .safetensors");
  options.add_options()("plan-out", value("FILE"), "write plan.json")(
      "report-out", value("FILE"), "write report.json")("dry-run", "tell what would come of it");
}

/// What one run of the command is asked for.
struct Task {
  OneShotOptions method{};
  std::vector<Level> levels{};
  std::optional<StructureFile> structure{};  ///< instead of a budget
  std::string structure_path{};
  bool dry = false;
};

/// The file of `--plan` or `--choices`.
void read_structure(const po::variables_map& values, Task& task) {
  for (const std::string option : {"plan", "choices"}) {
    if (!given(values, option)) continue;
    if (!task.structure_path.empty()) throw UsageError("--plan and --choices are both given");
    task.structure_path = text_of(values, option);
    task.structure = in_file(task.structure_path, choices_or_plan_from_json);
  }
}

Task read_task(const po::variables_map& values) {
  Task task;
  task.method = method_options(values);
  task.levels = budgets_of(values, task.method.budget);
  task.dry = values.count("dry-run") > 0;
  read_structure(values, task);
  const bool budget = !task.levels.front().budget.empty();
  if (task.structure && budget) {
    throw UsageError("a budget and --plan or --choices are given: only one can say what is kept");
  }
  if (!task.structure && !budget) {
    throw UsageError(
        "nothing says how much to keep; expected a budget such as --macs 0.5, or --ratio 0.5, "
        "--plan or --choices");
  }
  if (!task.dry && !given(values, "output")) {
    throw UsageError("-o is missing: the file to write the pruned network to (or --dry-run)");
  }
  return task;
}

/// Refuses files that must not be written, before any work is done.
void check_files(const po::variables_map& values, const Task& task) {
  check_outputs(values, {"output", "plan-out", "report-out"});
  for (const Level& level : task.levels) {
    for (const char* option : {"output", "plan-out", "report-out"}) {
      if (given(values, option)) {
        check_output(values, with_suffix(text_of(values, option), level.suffix));
      }
    }
  }
}

/// Sets what a plan or choices say.
Report apply_structure(ChannelMutator& mutator, const Task& task) {
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

/// Measured seconds beside the predicted ones that the budget holds on.
void add_latencies(const ChannelMutator& mutator, Report& report) {
  const std::string batch = std::to_string(batch_of(mutator.dense()));
  const Compaction dense =
      compact(mutator.dense(), mutator.combing(), Keep(mutator.combing()), mutator.options().rules);
  report.before.latency[batch] = measure_network(mutator.dense(), dense);
  report.after.latency[batch] = measure_network(mutator.dense(), mutator.model().compaction());
}

void export_level(const po::variables_map& values, const ChannelMutator& mutator,
                  const std::string& path, Report& report) {
  const auto start = std::chrono::steady_clock::now();
  ExportOptions options;
  options.force = values.count("force") > 0;
  options.extra_files["report.json"] = to_json(report);
  const ExportResult result = path.ends_with(".safetensors")
                                  ? export_state_dict(mutator, path, options)
                                  : export_torchscript(mutator, path, options);
  for (const auto& check : result.comparisons) {
    report.verification.push_back(
        {check.with, check.batch, name_of(check.dtype), check.error, check.bound});
  }
  report.notes.insert(report.notes.end(), result.lost.begin(), result.lost.end());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  report.seconds["export"] = seconds.count();
}

/// Writes the files of one level; returns a line for each.
std::string write_level(const po::variables_map& values, const Level& level,
                        const ChannelMutator& mutator, Report& report) {
  const auto name_for = [&](const char* option) {
    return with_suffix(text_of(values, option), level.suffix);
  };
  export_level(values, mutator, name_for("output"), report);
  std::string text = "wrote " + name_for("output") + "\n";
  const auto write = [&](const char* option, const std::string& content) {
    if (!given(values, option)) return;
    write_file(name_for(option), content);
    text += "wrote " + name_for(option) + "\n";
  };
  write("plan-out", to_json(mutator.plan()));
  write("report-out", to_json(report));
  return text;
}

int run_prune(const po::variables_map& values) {
  Task task = read_task(values);
  check_files(values, task);
  const auto model = std::make_shared<const Model>(read_model(values));
  read_groups(values, *model, task.method.mutator);
  const bool compensates = task.method.compensation.type != CompensationType::kNone;
  const bool needs = task.structure ? compensates : needs_data(task.method);
  const CalibrationData data = needs && given(values, "data")
                                   ? calibration_data(values, image_shape(*model))
                                   : CalibrationData();
  Json reports = Json::array();
  for (const Level& level : task.levels) {
    task.method.budget = level.budget;
    OneShot algorithm(std::make_unique<ChannelMutator>(model, task.method.mutator), task.method);
    ChannelMutator& mutator = algorithm.mutator();
    Report report = task.structure ? apply_structure(mutator, task) : algorithm.run(data);
    if (task.structure && compensates) algorithm.compensate(data, report);
    if (level.budget.latency) add_latencies(mutator, report);
    const std::string written =
        task.dry ? "nothing was written\n" : write_level(values, level, mutator, report);
    reports.push_back(parse_json(to_json(report), "report"));
    if (values.count("json") > 0) continue;
    std::cout << to_text(report) << written << (&level == &task.levels.back() ? "" : "\n");
  }
  if (values.count("json") > 0) {
    std::cout << json_text(reports.size() == 1 ? reports.front() : reports);
  }
  return 0;
}

}  // namespace

Command prune_command() {
  return {"prune",
          "MODEL",
          "Prunes a network in one shot and writes the smaller one, loaded again and compared.",
          "cpd prune zoo:resnet20 --macs 0.5 -o small.pt --plan-out plan.json\n"
          "cpd prune zoo:resnet20 --params 0.7,0.5 --importance l2 -o net.pt",
          {"MODEL"},
          1,
          add_prune_options,
          run_prune};
}

}  // namespace cpd::cli
