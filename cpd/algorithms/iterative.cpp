#include <cpd/algorithms/iterative.h>
#include <cpd/algorithms/reporting.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>

#include <chrono>

namespace cpd {

namespace {

/// The options that a hook has too, so that both are read and checked alike.
PruningHookOptions as_hook(const IterativeOptions& options) {
  PruningHookOptions hook;
  hook.interval = options.interval;
  hook.by = options.by;
  hook.prunings = options.prunings;
  hook.min_accuracy = options.min_accuracy;
  hook.compensation = options.compensation;
  hook.regulariser = options.regulariser;
  hook.schedule = options.schedule;
  hook.budget = options.budget;
  hook.allocation = options.allocation;
  hook.mutator = options.mutator;
  hook.distill = options.distill;
  hook.teacher_file = options.teacher_file;
  hook.teacher_model = options.teacher_model;
  return hook;
}

}  // namespace

void IterativeOptions::verify(const std::string& path) const {
  as_hook(*this).verify(path);
  train.verify(key_path(path, "train"));
}

void read_json(const Json& json, const std::string& path, IterativeOptions& options) {
  JsonObject object(json, path);
  std::string type = "Iterative";
  object.read("type", type);
  if (type != "Iterative") throw_wrong_type(json.at("type"), key_path(path, "type"), "Iterative");
  object.read("train", options.train);
  Json others = Json::object();
  for (const char* key :
       {"mutator", "mutator_cfg", "allocation", "budget", "schedule", "interval", "by", "prunings",
        "min_accuracy", "compensation", "regulariser", "distill", "teacher"}) {
    if (const Json* value = object.take(key)) others[key] = *value;
  }
  object.finish();
  PruningHookOptions hook = as_hook(options);
  read_json(others, path, hook);
  options.mutator = hook.mutator;
  options.allocation = hook.allocation;
  options.budget = hook.budget;
  options.schedule = hook.schedule;
  options.interval = hook.interval;
  options.by = hook.by;
  options.prunings = hook.prunings;
  options.min_accuracy = hook.min_accuracy;
  options.compensation = hook.compensation;
  options.regulariser = hook.regulariser;
  options.distill = hook.distill;
  options.teacher_file = hook.teacher_file;
}

void to_json(Json& json, const IterativeOptions& options) {
  const Json hook = as_hook(options);
  json = Json{{"type", "Iterative"}};
  for (const char* key : {"mutator", "allocation", "budget", "schedule", "interval", "by",
                          "prunings", "min_accuracy", "compensation", "teacher"}) {
    json[key] = hook.at(key);
  }
  json["train"] = options.train;
  if (options.regulariser) json["regulariser"] = *options.regulariser;
  if (options.distill) json["distill"] = *options.distill;
}

Iterative::Iterative(Model model, IterativeOptions options)
    : Algorithm(std::make_unique<ChannelMutator>(std::move(model), options.mutator)),
      options_(std::move(options)) {}

Iterative::Iterative(std::unique_ptr<ChannelMutator> mutator, IterativeOptions options)
    : Algorithm(std::move(mutator)), options_(std::move(options)) {}

Report Iterative::run(const TrainData& data, TrainCallbacks callbacks) {
  options_.verify();
  mutator().check_prunable();
  Report report = begin_report(mutator());
  report.algorithm = type();
  report.allocation = options_.allocation.name;
  const auto begin = std::chrono::steady_clock::now();

  const auto hook = std::make_shared<PruningHook>(mutator(), as_hook(options_), "");
  callbacks.hooks.push_back(hook);
  result_ = train(hook->network(), data, options_.train, callbacks);
  hook->network().write_back();
  certify(mutator());

  report.seconds["train"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (result_.evaluation) report.accuracy["pruned"] = result_.evaluation->score();
  finish_report(report, mutator(), hook->is_done() ? options_.budget : Budget{});
  report.notes.insert(report.notes.end(), hook->notes().begin(), hook->notes().end());
  if (const auto refused = hook->refused_score()) {
    report.stopped_by = "min_accuracy";
    report.notes.push_back("the pruning after " + std::to_string(hook->prunings()) + " of " +
                           std::to_string(options_.prunings) +
                           " was put off to the end: it would have left " + percent_text(*refused) +
                           " of the validation data right, not " +
                           percent_text(options_.min_accuracy));
  }
  return report;
}

}  // namespace cpd
