#include <cpd/cli/arguments.h>
#include <cpd/cli/class_cut.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/level_file.h>
#include <cpd/cli/method_run.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/comb/residual_blocks.h>
#include <cpd/core/text.h>
#include <cpd/cost/cost.h>
#include <cpd/cost/measure.h>
#include <cpd/exporters/export_pruned.h>

#include <algorithm>
#include <chrono>
#include <iostream>

namespace cpd::cli {
namespace {

void add_prune_options(po::options_description& options) {
  add_model_options(options);
  add_budget_options(options);
  options.add_options()("choices", value("FILE"), "keep what `cpd sample` wrote")(
      "plan", value("FILE"), "apply a plan.json or choices.json");
  add_method_options(options);
  add_unit_options(options);
  add_data_options(options);
  add_class_options(options);
  add_training_options(options);
  add_output_options(options, "the pruned network: .pt or .safetensors");
  options.add_options()("plan-out", value("FILE"), "write plan.json")(
      "report-out", value("FILE"), "write report.json")("dry-run", "tell what would come of it");
}

Budget budget_in(const MethodOptions& method) {
  if (const auto* one_shot = std::get_if<OneShotOptions>(&method)) return one_shot->budget;
  if (const auto* iterative = std::get_if<IterativeOptions>(&method)) return iterative->budget;
  return {};
}

/// Does a method that only trains say itself how the network is pruned?
bool has_choices(const MethodOptions& method) {
  const auto* distill = std::get_if<DistillAlgorithmOptions>(&method);
  return distill != nullptr &&
         std::any_of(distill->mutator.units.begin(), distill->mutator.units.end(),
                     [](const auto& unit) { return unit.second.choice.has_value(); });
}

/// The file of `--plan` or `--choices`.
void read_structure(const po::variables_map& values, PruneTask& task) {
  for (const std::string option : {"plan", "choices"}) {
    if (!given(values, option)) continue;
    if (!task.structure_path.empty()) throw UsageError("--plan and --choices are both given");
    task.structure_path = text_of(values, option);
    task.structure = in_file(task.structure_path, choices_or_plan_from_json);
  }
}

PruneTask read_task(const po::variables_map& values) {
  PruneTask task;
  task.method = method_options(values);
  task.levels = budgets_of(values, budget_in(task.method));
  task.dry = values.count("dry-run") > 0;
  read_structure(values, task);
  if (task.structure) {
    const auto* plan = std::get_if<Plan>(&*task.structure);
    const bool blocks = plan != nullptr ? names_blocks(plan->units)
                                        : names_blocks(std::get<Choices>(*task.structure));
    if (blocks) mutator_options_of(task.method).blocks = true;
  }
  const bool budget = !task.levels.front().budget.empty();
  if (task.structure && std::holds_alternative<IterativeOptions>(task.method)) {
    throw UsageError(
        "--plan or --choices is given with a method that chooses what is kept while "
        "it trains; expected OneShot or Distill");
  }
  if (task.structure && budget) {
    throw UsageError("a budget and --plan or --choices are given: only one can say what is kept");
  }
  const double* least = min_accuracy_of(task.method);
  const bool measures = least != nullptr && *least > 0;
  if (task.structure && measures) {
    throw UsageError(
        "--min-accuracy and --plan or --choices are given: only one can say what is kept");
  }
  if (!task.structure && !budget && !measures && !has_choices(task.method)) {
    throw UsageError(
        "nothing says how much to keep; expected a budget such as --macs 0.5, or --ratio 0.5, "
        "--min-accuracy, --plan or --choices");
  }
  if (!task.dry && !given(values, "output")) {
    throw UsageError("-o is missing: the file to write the pruned network to (or --dry-run)");
  }
  return task;
}

/// Refuses files that must not be written, before any work is done.
void check_files(const po::variables_map& values, const PruneTask& task) {
  check_outputs(values, {"plan-out", "report-out"});
  if (!writes_to_folder(values)) check_outputs(values, {"output", "plan-out", "report-out"});
  for (const Level& level : task.levels) {
    if (given(values, "output")) {
      const std::string path = level_file(values, level);
      check_level_file(values, path);
      if (values.count("cut-classes") > 0) check_level_file(values, labels_file(path));
    }
    for (const char* option : {"plan-out", "report-out"}) {
      if (given(values, option)) {
        check_output(values, with_suffix(text_of(values, option), level.suffix));
      }
    }
  }
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
                  const std::string& path, const std::string& labels, Report& report) {
  const auto start = std::chrono::steady_clock::now();
  ExportOptions options;
  options.force = values.count("force") > 0;
  options.extra_files["report.json"] = to_json(report);
  if (!labels.empty()) options.extra_files["labels.json"] = labels;
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
                        const ChannelMutator& mutator, const std::string& labels, Report& report) {
  const auto name_for = [&](const char* option) {
    return with_suffix(text_of(values, option), level.suffix);
  };
  const std::string path = level_file(values, level);
  make_folders_for(path);
  export_level(values, mutator, path, labels, report);
  std::string text = "wrote " + path + "\n";
  if (!labels.empty()) {
    write_file(labels_file(path), labels);
    text += "wrote " + labels_file(path) + "\n";
  }
  const auto write = [&](const char* option, const std::string& content) {
    if (!given(values, option)) return;
    write_file(name_for(option), content);
    text += "wrote " + name_for(option) + "\n";
  };
  write("plan-out", to_json(mutator.plan()));
  write("report-out", to_json(report));
  return text;
}

/// What was asked of each level against what it came to.
std::string table_text(const po::variables_map& values, const PruneTask& task,
                       const std::vector<Report>& reports) {
  Table table({"asked", "reached", "parameters", "MACs", "accuracy", "file"});
  for (size_t i = 0; i < reports.size(); ++i) {
    const Report& report = reports[i];
    std::string asked, reached;
    for (const auto& [cost, budget] : report.budgets) {
      const std::string before = asked.empty() ? "" : ", ";
      asked += before + cost + " " + percent_text(budget.limit / budget.dense);
      reached += before + percent_text(budget.reached / budget.dense);
    }
    if (const auto ratio = task.levels[i].budget.ratio) {
      asked += std::string(asked.empty() ? "" : ", ") + "ratio " + percent_text(*ratio);
    }
    const auto accuracy = report.accuracy.find("pruned");
    table.row({asked, reached.empty() ? "-" : reached,
               count_text(static_cast<double>(report.after.parameters)),
               count_text(static_cast<double>(report.after.macs)),
               accuracy == report.accuracy.end() ? "-" : percent_text(accuracy->second),
               task.dry ? "-" : level_file(values, task.levels[i])});
  }
  return table.text();
}

int run_prune(const po::variables_map& values) {
  PruneTask task = read_task(values);
  check_files(values, task);
  const auto [model, labels] = cut_classes(values, read_model(values));
  read_groups(values, *model, mutator_options_of(task.method));
  MethodImages images = read_images(values, task, *model);
  std::vector<Report> reports;
  for (const Level& level : task.levels) {
    Pruned pruned = run_method(task, level, images, model);
    ChannelMutator& mutator = pruned.algorithm->mutator();
    Report& report = pruned.report;
    if (level.budget.latency) add_latencies(mutator, report);
    const std::string written =
        task.dry ? "nothing was written\n" : write_level(values, level, mutator, labels, report);
    reports.push_back(report);
    if (task.levels.size() > 1 && reports.size() == 1) keep_scores(task, mutator);
    if (values.count("json") > 0) continue;
    std::cout << to_text(report) << written << (&level == &task.levels.back() ? "" : "\n");
  }
  if (values.count("json") > 0) {
    Json json = Json::array();
    for (const auto& report : reports) json.push_back(parse_json(to_json(report), "report"));
    std::cout << json_text(json.size() == 1 ? json.front() : json);
  } else if (reports.size() > 1) {
    std::cout << "\n" << table_text(values, task, reports);
  }
  return 0;
}

}  // namespace

Command prune_command() {
  return {"prune",
          "MODEL",
          "Prunes a network, in one shot or while it trains, and writes the smaller one, loaded "
          "again and compared.",
          "cpd prune zoo:resnet20 --macs 0.5 -o small.pt --plan-out plan.json\n"
          "cpd prune zoo:resnet20 --params 0.7,0.5 --importance l2 -o net.pt",
          {"MODEL"},
          1,
          add_prune_options,
          run_prune};
}

}  // namespace cpd::cli
