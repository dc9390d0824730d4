#include <ATen/ops/zeros.h>
#include <cpd/algorithms/distillation.h>
#include <cpd/algorithms/pruning_hook.h>
#include <cpd/algorithms/regularisation.h>
#include <cpd/algorithms/step_budget.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/text.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/importance/calibration.h>
#include <cpd/mutators/groups_of.h>
#include <cpd/training/moving_average.h>
#include <torch/optim/optimizer.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <filesystem>

namespace cpd {
namespace {

/// For scores and compensations that need images of their own: at least so many of each.
constexpr size_t kKeptBatches = 4;
constexpr int64_t kKeptSamples = 64;

const std::vector<std::string>& interval_names() {
  static const std::vector<std::string> names{"iteration", "epoch"};
  return names;
}

void read_priority(JsonObject& object, int& priority) {
  if (const Json* value = object.take("priority")) {
    priority = cpd::read_priority(*value, key_path(object.path(), "priority"));
  }
}

[[noreturn]] void throw_no_validation(const std::string& path) {
  throw Error("there are no images to measure the accuracy on",
              {.path = key_path(path, "min_accuracy")},
              "a run of train with validation data: --hold-out N on the command line");
}

template <typename Named>
void read_named(JsonObject& object, const std::string& key, Named& value) {
  const Json* json = object.take(key);
  if (json == nullptr) return;
  std::string name;
  read_json(*json, key_path(object.path(), key), name);
  try {
    value = name;
  } catch (const Error& error) {
    throw Error(error.problem(), {.path = key_path(object.path(), key)}, error.expected());
  }
}

}  // namespace

void PruningHookOptions::verify(const std::string& path) const {
  check_range(key_path(path, "interval"), static_cast<double>(interval), 1);
  check_range(key_path(path, "prunings"), static_cast<double>(prunings), 1);
  check_range(key_path(path, "priority"), priority, 0, 100);
  check_range(key_path(path, "min_accuracy"), min_accuracy, 0, 1);
  budget.verify(key_path(path, "budget"));
  compensation.verify(key_path(path, "compensation"));
  if (regulariser && regulariser->chosen_only && mutator.importance.needs != Needs::kWeights) {
    throw Error("the regulariser '" + regulariser->name +
                    "' needs its channels chosen before the network trains, and '" +
                    mutator.importance.name + "' scores need its training",
                {.path = key_path(path, "mutator.importance")}, "scores from weights, such as l1");
  }
  if (distill) distill->verify(key_path(path, "distill"));
  const std::string thresholds = key_path(path, "save_sparsity_thr");
  double last = 0;
  for (const double threshold : save_sparsity_thr) {
    if (threshold > last && threshold < 1) {
      last = threshold;
      continue;
    }
    throw Error("the thresholds are not ascending between 0 and 1: " + std::to_string(threshold) +
                    " follows " + std::to_string(last),
                {.path = thresholds}, "fractions such as [0.3, 0.5]");
  }
  if (budget.empty() == save_sparsity_thr.empty()) {
    throw Error(budget.empty() ? "there is no goal" : "there are two goals", {.path = path},
                "either a budget or save_sparsity_thr");
  }
  if (!save_sparsity_thr.empty() && work_dir.empty()) {
    throw Error("there is no folder for what is saved at the thresholds",
                {.path = key_path(path, "work_dir")}, "a folder");
  }
}

void read_json(const Json& json, const std::string& path, PruningHookOptions& options) {
  JsonObject object(json, path);
  std::string type = "PruningHook";
  object.read("type", type);
  if (type != "PruningHook") {
    throw_wrong_type(json.at("type"), key_path(path, "type"), "PruningHook");
  }
  if (const Json* by = object.take("by")) {
    read_json_name(*by, key_path(path, "by"), interval_names(), options.by);
  }
  read_named(object, "allocation", options.allocation);
  read_priority(object, options.priority);
  object.read("interval", options.interval)
      .read("prunings", options.prunings)
      .read("schedule", options.schedule)
      .read("budget", options.budget)
      .read("save_sparsity_thr", options.save_sparsity_thr)
      .read("min_accuracy", options.min_accuracy)
      .read("compensation", options.compensation)
      .read("regulariser", options.regulariser)
      .read("continue_finetune", options.continue_finetune)
      .read("prune_cfg", options.prune_cfg)
      .read("mutator", options.mutator)
      .read("mutator_cfg", options.mutator)
      .read("work_dir", options.work_dir)
      .read("distill", options.distill)
      .read("teacher", options.teacher_file)
      .finish();
}

void to_json(Json& json, const PruningHookOptions& options) {
  json = Json{{"type", "PruningHook"},
              {"interval", options.interval},
              {"by", interval_names()[static_cast<size_t>(options.by)]},
              {"prunings", options.prunings},
              {"schedule", options.schedule},
              {"budget", options.budget},
              {"save_sparsity_thr", options.save_sparsity_thr},
              {"min_accuracy", options.min_accuracy},
              {"compensation", options.compensation},
              {"continue_finetune", options.continue_finetune},
              {"priority", options.priority},
              {"prune_cfg", options.prune_cfg},
              {"allocation", options.allocation.name},
              {"mutator", options.mutator},
              {"work_dir", options.work_dir},
              {"teacher", options.teacher_file}};
  if (options.regulariser) json["regulariser"] = *options.regulariser;
  if (options.distill) json["distill"] = *options.distill;
}

std::unique_ptr<ChannelMutator> make_mutator(Model model, const PruningHookOptions& options) {
  MutatorOptions mutator = options.mutator;
  if (!options.prune_cfg.empty()) {
    mutator =
        with_groups(std::move(mutator), groups_from_json(read_file(options.prune_cfg)), model);
  }
  return std::make_unique<ChannelMutator>(std::move(model), std::move(mutator));
}

struct PruningHook::State {
  State(ChannelMutator& mutator_in, PruningHookOptions options_in, std::string path_in)
      : mutator(mutator_in),
        options(std::move(options_in)),
        config_path(std::move(path_in)),
        network(mutator_in),
        importance(while_training(mutator_in.options().importance)),
        own_gates(
            (importance.needs == Needs::kStatistics || importance.needs == Needs::kTraining) &&
            gates_suffice(importance.name)) {
    for (const auto& unit : mutator.units()) {
      const std::vector<double> ones(static_cast<size_t>(unit->num_channels()), 1.0);
      scores.emplace_back(unit->channels().size(), ones);
    }
    mutator.set_scores(scores);
    mutator.problem(goal()).verify();
    if (options.regulariser) regularisation.emplace(network, *options.regulariser);
    network.watch([this](const std::vector<at::Tensor>& inputs) { return watch(inputs); });
  }

  Budget goal() const {
    return options.save_sparsity_thr.empty() ? options.budget
                                             : removed(options.save_sparsity_thr.back());
  }

  static Budget removed(double sparsity) {
    Budget budget;
    budget.params = Amount(1 - sparsity, true);
    return budget;
  }

  /// Sees the passes of the training: their gradients, or the images themselves.
  RunObserver watch(const std::vector<at::Tensor>& inputs) {
    const auto sees_nothing = [](const Op&, Tensors&) {};
    if (done) return sees_nothing;
    if (keeps_batches()) keep_batch(inputs);
    if (!own_gates) return sees_nothing;
    if (!statistics) statistics.emplace(network.model().model(), network.model().combing());
    return statistics->observer(inputs.front().size(mutator.dense().free.batch_dim));
  }

  /// Is there something that looks at images after the pass that they were for?
  bool keeps_batches() const {
    return options.compensation.type != CompensationType::kNone ||
           (importance.needs != Needs::kWeights && !own_gates);
  }
  void keep_batch(const std::vector<at::Tensor>& inputs) {
    batches.push_back({inputs});
    const auto enough = [this](auto begin) {
      const CalibrationData data(begin, batches.end());
      return data.size() >= kKeptBatches && samples_in(mutator.dense(), data) >= kKeptSamples;
    };
    while (enough(batches.begin() + 1)) batches.pop_front();
  }
  CalibrationData last_batches() const { return {batches.begin(), batches.end()}; }

  /// What the pruning after `before` others keeps; `threshold` is not passed unsaved.
  Budget step_goal(int64_t before, size_t threshold) {
    const double progress = static_cast<double>(before + 1) / static_cast<double>(options.prunings);
    Budget step = step_budget(goal(), progress, options.schedule, mutator);
    if (threshold >= options.save_sparsity_thr.size()) return step;
    const Budget save = removed(options.save_sparsity_thr[threshold]);
    return step.params->value < save.params->value ? save : step;
  }

  bool reaches(const Budget& budget, size_t threshold) const {
    return threshold < options.save_sparsity_thr.size() &&
           budget.params->value <= 1 - options.save_sparsity_thr[threshold];
  }

  /// Prunings until the goal: more than the options have where thresholds would be passed at once.
  int64_t prunings_needed() {
    int64_t count = options.prunings;
    if (options.save_sparsity_thr.empty()) return count;
    size_t threshold = 0;
    for (count = 0; count < options.prunings || threshold < options.save_sparsity_thr.size();
         ++count) {
      if (reaches(step_goal(count, threshold), threshold)) ++threshold;
    }
    return count;
  }

  void score() {
    if (importance.needs == Needs::kWeights) {
      scores = network.scores(importance, nullptr, scores);
    } else if (own_gates) {
      if (!statistics) throw Error("the network was not trained before it is to be pruned");
      const Statistics gathered = statistics->statistics();
      if (gathered.samples == 0) throw Error("no gradients have come since the last pruning");
      scores = network.scores(importance, &gathered, scores);
    } else {
      StatisticsOptions how = statistics_for(importance.needs);
      how.seed = mutator.options().seed;
      const Statistics gathered = gather_statistics(network.model().model(),
                                                    network.model().combing(), last_batches(), how);
      scores = network.scores(importance, &gathered, scores);
    }
    std::vector<Scores> worth = scores;
    mutator.divide_by_savings(worth);
    mutator.set_scores(std::move(worth));
  }

  /// Chooses what the next pruning keeps; nothing changes yet.
  void choose_next() {
    score();
    const Plan now = mutator.plan();
    mutator.allocate(step_goal(prunings, next_threshold), narrowing(options.allocation, mutator));
    next = mutator.plan();
    mutator.set_plan(now);
  }

  bool chooses_ahead() const { return regularisation && regularisation->regulariser().chosen_only; }

  void regularise() {
    if (done || !regularisation) return;
    if (chooses_ahead() && !next) choose_next();
    regularisation->add_to_gradients(next.value_or(Plan()));
  }

  /// Prunes by one step; returns how tensors are to be cut. Nothing happens where `score_of` the
  /// smaller network is too low.
  std::optional<StateCut> prune(const std::function<double(DynamicModel&)>& score_of) {
    const Plan now = mutator.plan();
    if (!next) choose_next();
    mutator.set_plan(*next);
    certify(mutator);
    network.write_back(compensation());
    statistics.reset();
    if (takes_too_much(score_of)) {
      mutator.set_plan(now);
      // What is pulled to zero stays chosen; other scores may be better next time.
      if (!chooses_ahead()) next.reset();
      return std::nullopt;
    }
    const Budget budget = step_goal(prunings, next_threshold);
    StateCut cut = network.follow();
    next.reset();
    if (regularisation) regularisation->set_updates(0);
    ++prunings;
    reaches_threshold = reaches(budget, next_threshold);
    done = prunings >= options.prunings &&
           (options.save_sparsity_thr.empty() ||
            next_threshold + (reaches_threshold ? 1 : 0) >= options.save_sparsity_thr.size());
    return cut;
  }

  /// Values that make up for what the network does not follow the mutator in yet.
  std::map<std::string, at::Tensor> compensation() {
    CompensationOptions how = options.compensation;
    if (how.type == CompensationType::kNone) return {};
    how.quiet = true;
    const CalibrationData data = last_batches();
    if (samples_in(mutator.dense(), data) < kLeastSamples) {
      add_note("nothing made up for a pruning before " + std::to_string(kLeastSamples) +
               " samples had been seen");
      return {};
    }
    const Compensation made = network.compensate(data, how);
    for (const auto& note : made.notes) add_note(note);
    return made.values;
  }

  void add_note(const std::string& note) {
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }

  bool takes_too_much(const std::function<double(DynamicModel&)>& score_of) {
    refused.reset();
    if (options.min_accuracy == 0) return false;
    const double left = score_of(mutator.model());
    if (left < options.min_accuracy) refused = left;
    return refused.has_value();
  }

  /// The plan that keeps this of each unit.
  Plan plan_with(std::map<std::string, std::vector<Indices>> kept) const {
    Plan plan = mutator.plan();
    plan.units.clear();
    for (auto& [name, blocks] : kept) {
      plan.units[name] = {mutator.unit(name).num_channels(), std::move(blocks)};
    }
    return plan;
  }

  bool is_due(int64_t i) const { return !done && i % options.interval == 0; }

  std::string threshold_path(const std::string& ending) const {
    const double sparsity = options.save_sparsity_thr[next_threshold];
    const auto percent = static_cast<int64_t>(std::lround(100 * sparsity));
    return options.work_dir + "/sparsity_" + std::to_string(percent) + ending;
  }

  /// The network as it is at a threshold, verified against the masked one.
  void export_threshold() {
    std::error_code failure;
    std::filesystem::create_directories(options.work_dir, failure);
    network.write_back();
    const std::string path = threshold_path(".pt");
    ExportOptions how;
    how.force = true;
    how.reference = [this](const std::vector<at::Tensor>& inputs) {
      return mutator.model().forward(inputs);
    };
    const bool training = mutator.model().is_training();
    mutator.model().train(false);
    export_torchscript(mutator, path, how);
    mutator.model().train(training);
    exports.push_back(path);
    ++next_threshold;
  }

  std::string status() const {
    return count_text(static_cast<double>(mutator.cost().macs)) + " MACs";
  }

  ChannelMutator& mutator;
  PruningHookOptions options;
  std::string config_path;  ///< of the options
  ShrinkingNetwork network;
  Importance importance;
  bool own_gates;  ///< the training's own backward passes give the scores
  std::optional<RunningStatistics> statistics;
  std::deque<CalibrationBatch> batches;
  std::vector<Scores> scores;  ///< of all units, the last ones
  std::optional<Regularisation> regularisation;
  std::optional<Plan> next;       ///< what the next pruning keeps, if that is chosen
  std::optional<double> refused;  ///< the score that the last pruning would have left
  int64_t prunings = 0;
  size_t next_threshold = 0;
  bool reaches_threshold = false;  ///< by the last pruning
  bool done = false;
  std::vector<std::string> exports;
  std::vector<std::string> notes;  ///< of the compensations
  torch::optim::Optimizer* optimiser = nullptr;
};

PruningHook::PruningHook(ChannelMutator& mutator, PruningHookOptions options,
                         const std::string& path) {
  options.verify(path);
  mutator.check_prunable();
  state_ = std::make_unique<State>(mutator, std::move(options), path);
}
PruningHook::~PruningHook() = default;

int PruningHook::priority() const { return state_->options.priority; }
const PruningHookOptions& PruningHook::options() const { return state_->options; }
ShrinkingNetwork& PruningHook::network() { return state_->network; }
int64_t PruningHook::prunings() const { return state_->prunings; }
bool PruningHook::is_done() const { return state_->done; }
const std::vector<std::string>& PruningHook::exports() const { return state_->exports; }
void PruningHook::attach(torch::optim::Optimizer& optimiser) { state_->optimiser = &optimiser; }
bool PruningHook::wants_to_stop() const {
  return state_->done && !state_->options.continue_finetune;
}

Loss PruningHook::loss(Loss own) {
  const PruningHookOptions& options = state_->options;
  if (!options.distils()) return own;
  const auto teacher =
      teacher_of(options.teacher_model, options.teacher_file, state_->mutator.dense(),
                 key_path(state_->config_path, "teacher"));
  return Distillation(state_->network, *teacher, options.distill.value_or(DistillOptions()),
                      std::move(own), key_path(state_->config_path, "distill"))
      .loss();
}

std::optional<double> PruningHook::refused_score() const { return state_->refused; }
const std::vector<std::string>& PruningHook::notes() const { return state_->notes; }
void PruningHook::regularise() { state_->regularise(); }

bool PruningHook::after_iteration(int64_t i) {
  if (!state_->is_due(i)) return false;
  if (state_->optimiser == nullptr) {
    throw Error("the hook knows no optimiser whose parameters follow the network", {},
                "a call of attach before the loop");
  }
  const NamedTensors before = state_->network.parameters();
  const std::optional<StateCut> cut =
      state_->prune([&](DynamicModel&) -> double { throw_no_validation(state_->config_path); });
  if (!cut) return false;
  const NamedTensors after = state_->network.parameters();
  replace_parameters(*state_->optimiser, before, after, *cut);
  if (!state_->reaches_threshold) return true;
  const std::string checkpoint = state_->threshold_path(".ckpt");
  state_->export_threshold();
  Checkpoint made = state();
  made.add("parameter.", {after.begin(), after.end()});
  const NamedTensors buffers = state_->network.buffers();
  made.add("buffer.", {buffers.begin(), buffers.end()});
  made.add("optimiser.", optimiser_state(*state_->optimiser, after));
  save_checkpoint(made, checkpoint);
  return true;
}

void PruningHook::before_run(TrainingRun& run) {
  const PruningHookOptions& options = state_->options;
  if (&run.network() != &state_->network) {
    throw Error("the run trains another network than the hook prunes", {},
                "the hook's network() as the network of the run");
  }
  const int64_t interval =
      options.interval * (options.by == IntervalUnit::kEpoch ? run.steps_per_epoch() : 1);
  const int64_t needed = state_->prunings_needed();
  if (run.steps() < interval * needed) {
    std::string problem = "the run ends at step " + std::to_string(run.steps()) +
                          ", before the last of " + std::to_string(needed) + " prunings at step " +
                          std::to_string(interval * needed);
    if (!options.save_sparsity_thr.empty()) {
      problem += ", which reaches the threshold " + Json(options.save_sparsity_thr.back()).dump();
    }
    throw Error(problem, {}, "a smaller interval, fewer prunings or more epochs");
  }
  if (options.min_accuracy > 0 && !run.has_validation()) throw_no_validation(state_->config_path);
  run.set_status(state_->status());
}

void PruningHook::before_update(TrainingRun&) { state_->regularise(); }

void PruningHook::after_iteration(TrainingRun& run) {
  const bool by_epoch = state_->options.by == IntervalUnit::kEpoch;
  if (by_epoch && run.step() % run.steps_per_epoch() != 0) return;
  const int64_t i = by_epoch ? run.step() / run.steps_per_epoch() : run.step();
  if (!state_->is_due(i)) return;
  const NamedTensors before = run.network().parameters();
  const auto cut =
      state_->prune([&](DynamicModel& model) { return run.validate(*trainable(model)).score(); });
  if (!cut) return;
  run.replace_parameters(before, *cut);
  run.set_status(state_->status());
  run.metrics()["pruning"] = state_->prunings;
  if (state_->reaches_threshold) {
    const std::string checkpoint = state_->threshold_path(".ckpt");
    state_->export_threshold();
    run.save(checkpoint);
  }
  if (wants_to_stop()) run.stop();
}

void PruningHook::after_epoch(TrainingRun& run) {
  const Cost cost = state_->mutator.cost();
  run.metrics()["macs"] = cost.macs;
  run.metrics()["parameters"] = cost.parameters;
}

void PruningHook::after_run(TrainingRun&) { state_->network.write_back(); }

Checkpoint PruningHook::state() const {
  Checkpoint result;
  Json kept = Json::object();
  for (const auto* unit : state_->mutator.mutable_units()) {
    Json blocks = Json::array();
    for (const auto& channel : unit->channels()) blocks.push_back(channel.kept());
    kept[unit->name()] = blocks;
  }
  result.facts = {{"prunings", state_->prunings},
                  {"next_threshold", state_->next_threshold},
                  {"done", state_->done},
                  {"exports", state_->exports},
                  {"notes", state_->notes},
                  {"kept", kept},
                  {"next", Json::object()},
                  {"updates", state_->regularisation ? state_->regularisation->updates() : 0},
                  {"refused", nullptr},
                  {"scores", state_->scores},
                  {"batches", state_->batches.size()}};
  if (state_->refused) result.facts["refused"] = *state_->refused;
  if (state_->next) {
    for (const auto& [name, unit] : state_->next->units) result.facts["next"][name] = unit.kept;
  }
  if (state_->statistics) result.add("statistics.", state_->statistics->state());
  for (size_t i = 0; i < state_->batches.size(); ++i) {
    result.add("batch." + std::to_string(i) + ".", {{"", state_->batches[i].inputs.front()}});
  }
  return result;
}

void PruningHook::load_state(const Checkpoint& saved, TrainingRun& run) {
  std::map<std::string, std::vector<Indices>> kept, next;
  size_t batches = 0;
  int64_t updates = 0;
  JsonObject(saved.facts, "PruningHook")
      .require("prunings", state_->prunings)
      .require("next_threshold", state_->next_threshold)
      .require("done", state_->done)
      .require("exports", state_->exports)
      .require("notes", state_->notes)
      .require("kept", kept)
      .require("next", next)
      .require("updates", updates)
      .require("refused", state_->refused)
      .require("scores", state_->scores)
      .require("batches", batches)
      .finish();
  state_->mutator.set_plan(state_->plan_with(std::move(kept)));
  state_->next.reset();
  if (!next.empty()) state_->next = state_->plan_with(std::move(next));
  if (state_->regularisation) state_->regularisation->set_updates(updates);
  const NamedTensors before = run.network().parameters();
  state_->network.follow();
  const auto now = all_tensors(state_->network);
  run.replace_parameters(before, [&](const std::string& name, const at::Tensor& tensor) {
    const auto found = now.find(name);
    return found == now.end() ? at::Tensor() : at::zeros(found->second.sizes(), tensor.options());
  });
  state_->statistics.reset();
  const auto sums = saved.under("statistics.");
  if (!sums.empty()) {
    state_->statistics.emplace(state_->network.model().model(), state_->network.model().combing());
    state_->statistics->set_state(sums);
  }
  state_->batches.clear();
  for (size_t i = 0; i < batches; ++i) {
    state_->batches.push_back({{saved.tensors.at("batch." + std::to_string(i) + ".")}});
  }
}

}  // namespace cpd
