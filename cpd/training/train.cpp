#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>
#include <cpd/core/error.h>
#include <cpd/core/progress.h>
#include <cpd/core/random.h>
#include <cpd/core/text.h>
#include <cpd/training/device.h>
#include <cpd/training/divergence.h>
#include <cpd/training/event_log.h>
#include <cpd/training/metrics_log.h>
#include <cpd/training/mixup.h>
#include <cpd/training/moving_average.h>
#include <cpd/training/train.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/optimizer.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <mutex>

namespace cpd {
namespace {

/// LibTorch's shared generator of random numbers (dropout draws from it), as it was after the
/// scope.
class RandomScope {
 public:
  explicit RandomScope(c10::Device device)
      : generator_(at::globalContext().defaultGenerator(device)), state_(generator_.get_state()) {}
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;
  ~RandomScope() { generator_.set_state(state_); }

  void seed(uint64_t seed) {
    const std::lock_guard lock(generator_.mutex());
    generator_.set_current_seed(seed);
  }

 private:
  at::Generator generator_;
  at::Tensor state_;
};

/// Sums over an epoch.
struct EpochSums {
  double loss = 0;
  int64_t steps = 0;
  int64_t right = 0;
  int64_t seen = 0;

  double mean_loss() const { return steps == 0 ? 0 : loss / static_cast<double>(steps); }
  double accuracy() const {
    return seen == 0 ? 0 : static_cast<double>(right) / static_cast<double>(seen);
  }
  Json json() const { return {{"loss", loss}, {"steps", steps}, {"right", right}, {"seen", seen}}; }
  void read(const Json& json) {
    JsonObject(json, "sums")
        .require("loss", loss)
        .require("steps", steps)
        .require("right", right)
        .require("seen", seen)
        .finish();
  }
};

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

void make_folder(const std::string& folder) {
  if (folder.empty()) return;
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) {
    throw Error("the folder cannot be made: " + failure.message(), {.path = folder},
                "a work_dir that can be written");
  }
}

/// The options that a run must go on with.
Json lasting(const TrainOptions& options) {
  Json json = options;
  for (const char* key :
       {"work_dir", "resume", "checkpoint_every", "log_every", "tensorboard", "device"}) {
    json.erase(key);
  }
  return json;
}

class Run : public TrainingRun {
 public:
  Run(Trainable& network, const TrainData& data, const TrainOptions& options,
      const TrainCallbacks& callbacks)
      : network_(network),
        data_(data),
        options_(options),
        callbacks_(callbacks),
        device_(find_device(options.device)),
        random_(device_),
        watch_(options.divergence),
        hooks_(callbacks.hooks),
        loss_(callbacks.loss) {
    std::stable_sort(hooks_.begin(), hooks_.end(),
                     [](const auto& a, const auto& b) { return a->priority() < b->priority(); });
    if (!loss_) loss_ = smoothed_cross_entropy(options.label_smoothing);
    for (const auto& hook : hooks_) loss_ = hook->loss(std::move(loss_));
    if (data.training.batches < 1) throw Error("there are no images to train on");
    per_epoch_ = (data.training.batches + options.accumulate - 1) / options.accumulate;
    make_folder(options.work_dir);
  }

  TrainResult run() {
    const TrainingMode mode(network_, true);
    const at::AutoGradMode with_grad(true);
    begin();
    while (result_.epoch < options_.epochs && !stopped_ && !result_.interrupted) {
      try {
        run_epoch();
      } catch (const Diverged&) {
        go_back();
      }
    }
    end();
    return result_;
  }

  const TrainOptions& options() const override { return options_; }
  Trainable& network() override { return network_; }
  torch::optim::Optimizer& optimiser() override { return *optimiser_; }
  int64_t step() const override { return result_.step; }
  int64_t steps() const override { return per_epoch_ * options_.epochs; }
  int64_t steps_per_epoch() const override { return per_epoch_; }
  int64_t epoch() const override { return result_.epoch; }
  double loss() const override { return step_loss_; }
  void set_status(const std::string& status) override { status_ = status; }
  Json& metrics() override { return metrics_; }
  void save(const std::string& path) override { save_checkpoint(checkpoint(), path); }
  void stop() override { stopped_ = true; }
  bool has_validation() const override { return data_.validation.has_value(); }
  Evaluation validate(Trainable& network) override {
    if (!data_.validation) throw Error("there is no validation data");
    return evaluate(network, *data_.validation,
                    {.device = options_.device, .bf16 = options_.bf16, .quiet = true});
  }
  void replace_parameters(const NamedTensors& before, const StateCut& cut) override {
    network_.to(device_);
    cpd::replace_parameters(*optimiser_, before, network_.parameters(), cut);
    if (average_) average_->cut(cut);
    // What was best of a larger network can no longer be had.
    result_.best_epoch = 0;
    best_.clear();
  }

 private:
  /// Thrown where the loss or the weights are no longer any good.
  struct Diverged {};

  void begin() {
    network_.to(device_);
    optimiser_ = make_optimiser(options_.optimiser, network_.parameters());
    if (options_.ema > 0) average_.emplace(network_, options_.ema);
    const std::string from = resume_path();
    if (!from.empty()) resume(from);
    log_.emplace(path_of("metrics.jsonl"), result_.step);
    if (options_.tensorboard) events_.emplace(options_.work_dir, result_.step);
    for (const auto& hook : hooks_) hook->before_run(*this);
    if (options_.backoffs > 0) last_good_ = checkpoint();
    if (!callbacks_.quiet) progress_.emplace(callbacks_.title, steps() - result_.step);
    progress_begin_ = result_.step;
  }

  void end() {
    if (progress_) progress_->finish(status_text());
    if (average_) average_->exchange(network_);
    if (!result_.interrupted) take_best();
    for (const auto& hook : hooks_) hook->after_run(*this);
  }

  void run_epoch() {
    const int64_t first = result_.step - result_.epoch * per_epoch_;
    if (first < per_epoch_) data_.training.start(result_.epoch, first * options_.accumulate);
    for (int64_t i = first; i < per_epoch_; ++i) {
      run_step();
      const bool last = i + 1 == per_epoch_;
      if (!last && every(options_.log_every)) log_step();
      if (stopped_ || interrupted()) break;
      if (!last && every(options_.checkpoint_every)) write_checkpoint("last.ckpt");
    }
    const bool whole = result_.step == (result_.epoch + 1) * per_epoch_;
    if (whole && !result_.interrupted) finish_epoch();
    write_checkpoint("last.ckpt");
  }

  bool every(int64_t steps) const { return steps > 0 && result_.step % steps == 0; }

  bool interrupted() {
    if (callbacks_.interrupted != nullptr && callbacks_.interrupted->load()) {
      result_.interrupted = true;
    }
    return result_.interrupted;
  }

  void run_step() {
    random_.seed(mix(options_.seed, 3, static_cast<uint64_t>(result_.step)));
    rate_ = options_.optimiser.lr * rate_scale_ *
            schedule_factor(options_.schedule, result_.step, steps(), per_epoch_);
    set_learning_rate(*optimiser_, rate_);
    optimiser_->zero_grad();
    add_gradients();
    if (watch_.diverges(step_loss_)) throw Diverged{};
    if (options_.clip > 0) torch::nn::utils::clip_grad_norm_(trained(), options_.clip);
    for (const auto& hook : hooks_) hook->before_update(*this);
    optimiser_->step();
    ++result_.step;
    if (average_) average_->update(network_, result_.step);
    sums_.loss += step_loss_;
    ++sums_.steps;
    for (const auto& hook : hooks_) hook->after_iteration(*this);
    if (progress_) progress_->update(result_.step - progress_begin_, status_text());
  }

  /// Gradients of the mean loss of the step's batches.
  void add_gradients() {
    double sum = 0;
    int64_t batches = 0;
    for (; batches < options_.accumulate; ++batches) {
      const std::optional<Batch> batch = data_.training.next();
      if (!batch) break;
      const uint64_t position = static_cast<uint64_t>(result_.step * options_.accumulate + batches);
      const at::Tensor loss =
          loss_of({batch->images.to(device_), batch->labels.to(device_)}, position);
      loss.backward();
      sum += loss.item<double>();
    }
    if (batches == 0) throw Error("the training data ended before its epoch");
    step_loss_ = sum / static_cast<double>(batches);
    if (batches == 1) return;
    const at::NoGradGuard no_grad;
    for (const auto& parameter : trained()) {
      if (parameter.grad().defined()) parameter.grad().div_(static_cast<double>(batches));
    }
  }

  at::Tensor loss_of(const Batch& batch, uint64_t position) {
    const MixedBatch mixed_batch = mixed(batch, options_.mixup, mix(options_.seed, 4, position));
    std::vector<at::Tensor> outputs;
    {
      const Autocast autocast(device_, options_.bf16);
      outputs = network_.forward({mixed_batch.batch.images});
    }
    const at::Tensor loss = loss_(outputs, mixed_batch.batch);
    if (mixed_batch.weight == 1) {
      count_right(outputs.at(0).detach(), batch.labels);
      return loss;
    }
    const at::Tensor other = loss_(outputs, {mixed_batch.batch.images, mixed_batch.other_labels});
    return loss.mul(mixed_batch.weight).add(other, 1 - mixed_batch.weight);
  }

  void count_right(const at::Tensor& logits, const at::Tensor& labels) {
    if (labels.dim() != 1 || logits.dim() != 2 || logits.size(0) != labels.size(0)) return;
    sums_.right += logits.argmax(1).eq(labels).sum().item<int64_t>();
    sums_.seen += labels.size(0);
  }

  std::vector<at::Tensor> trained() const {
    std::vector<at::Tensor> result;
    for (const auto& group : optimiser_->param_groups()) {
      result.insert(result.end(), group.params().begin(), group.params().end());
    }
    return result;
  }

  void finish_epoch() {
    ++result_.epoch;
    result_.loss = sums_.mean_loss();
    Json line{
        {"epoch", result_.epoch}, {"step", result_.step}, {"lr", rate_}, {"loss", result_.loss}};
    if (sums_.seen > 0) line["accuracy"] = sums_.accuracy();
    sums_ = {};
    const bool last = result_.epoch == options_.epochs;
    if (data_.validation && (last || result_.epoch % options_.evaluate_every == 0)) {
      validate_epoch(line);
    }
    for (const auto& hook : hooks_) hook->after_epoch(*this);
    log(std::move(line));
    keep_best();
  }

  void validate_epoch(Json& line) {
    if (average_) average_->exchange(network_);
    result_.evaluation = validate(network_);
    if (average_) average_->exchange(network_);
    evaluated_at_ = result_.epoch;
    line["validation_accuracy"] = result_.evaluation->accuracy;
    line["validation_loss"] = result_.evaluation->loss;
    if (result_.evaluation->mean_iou) line["validation_mean_iou"] = *result_.evaluation->mean_iou;
  }

  void keep_best() {
    if (data_.validation && evaluated_at_ != result_.epoch) return;
    const double score = data_.validation ? result_.evaluation->score() : -result_.loss;
    if (result_.best_epoch > 0 && score <= result_.best_score) return;
    result_.best_epoch = result_.epoch;
    result_.best_score = score;
    if (options_.keep_best) remember_best();
    write_checkpoint("best.ckpt");
  }

  void remember_best() {
    if (average_) average_->exchange(network_);
    best_.clear();
    for (const auto& [name, tensor] : all_tensors(network_)) {
      best_[name] = tensor.detach().to(at::kCPU).clone();
    }
    if (average_) average_->exchange(network_);
  }

  void take_best() {
    if (best_.empty() || result_.best_epoch == result_.epoch) return;
    copy_tensors(best_, all_tensors(network_));
    if (data_.validation) result_.evaluation = validate(network_);
  }

  void log_step() { log({{"step", result_.step}, {"lr", rate_}, {"loss", step_loss_}}); }

  void log(Json line) {
    for (const auto& [key, value] : metrics_.items()) line[key] = value;
    metrics_ = Json::object();
    log_->write(line);
    if (events_) events_->write(line);
  }

  std::string status_text() const {
    std::string text = "loss " + short_number(sums_.steps > 0 ? sums_.mean_loss() : result_.loss);
    if (sums_.seen > 0) text += ", accuracy " + percent_text(sums_.accuracy());
    if (result_.evaluation) {
      text += ", validation " + percent_text(result_.evaluation->score());
    }
    return status_.empty() ? text : text + ", " + status_;
  }

  std::string path_of(const std::string& file) const {
    return options_.work_dir.empty() ? "" : options_.work_dir + "/" + file;
  }

  // What follows keeps the run where it can go on from.

  Checkpoint checkpoint() const {
    Checkpoint result;
    const NamedTensors parameters = network_.parameters();
    result.add("parameter.", {parameters.begin(), parameters.end()});
    const NamedTensors buffers = network_.buffers();
    result.add("buffer.", {buffers.begin(), buffers.end()});
    result.add("optimiser.", optimiser_state(*optimiser_, parameters));
    if (average_) result.add("average.", average_->tensors());
    result.add("best.", best_);
    result.facts = {{"options", lasting(options_)},
                    {"batches", data_.training.batches},
                    {"step", result_.step},
                    {"epoch", result_.epoch},
                    {"loss", result_.loss},
                    {"sums", sums_.json()},
                    {"divergence", watch_.state()},
                    {"rate", rate_},
                    {"rate_scale", rate_scale_},
                    {"metrics", metrics_},
                    {"backoffs", result_.backoffs},
                    {"best_epoch", result_.best_epoch},
                    {"best_score", result_.best_score}};
    Json states = Json::object();
    for (const auto& hook : hooks_) {
      const Checkpoint state = hook->state();
      states[hook->name()] = state.facts;
      result.add("hook." + hook->name() + ".", state.tensors);
    }
    result.facts["hooks"] = states;
    return result;
  }

  void write_checkpoint(const std::string& file) {
    if (options_.work_dir.empty() && options_.backoffs == 0) return;
    check_weights();
    Checkpoint made = checkpoint();
    if (!options_.work_dir.empty()) {
      save_checkpoint(made, path_of(file));
      last_file_ = path_of(file) + " (step " + std::to_string(result_.step) + ")";
    }
    if (options_.backoffs > 0) last_good_ = std::move(made);
  }

  /// A finite loss does not tell what the last update has made of the weights.
  void check_weights() const {
    for (const auto& [name, tensor] : network_.parameters()) {
      if (!at::isfinite(tensor.detach()).all().item<bool>()) throw Diverged{};
    }
  }

  void go_back() {
    const int64_t at_step = result_.step;
    if (result_.backoffs >= options_.backoffs) {
      throw Error("the training diverges at step " + std::to_string(at_step) + ": the loss is " +
                      short_number(step_loss_) + "; " +
                      (last_file_.empty() ? "no checkpoint was written"
                                          : "the last good checkpoint is " + last_file_),
                  {}, "a lower learning rate, clipped gradients, or backoffs");
    }
    const int64_t backoffs = result_.backoffs + 1;
    const double scale = rate_scale_ * options_.backoff_factor;
    restore(*last_good_);
    result_.backoffs = backoffs;
    rate_scale_ = scale;
    log({{"step", result_.step}, {"diverged_at", at_step}, {"rate_scale", rate_scale_}});
  }

  std::string resume_path() const {
    if (options_.resume != "auto") return options_.resume;
    const std::string last = path_of("last.ckpt");
    return std::filesystem::exists(last) ? last : "";
  }

  void resume(const std::string& path) {
    const Checkpoint from = load_checkpoint(path);
    check_same_run(from, path);
    try {
      restore(from);
    } catch (const Error& error) {
      throw Error("the checkpoint does not fit: " + error.problem(), {.path = path},
                  "a checkpoint of this run");
    }
    last_file_ = path + " (step " + std::to_string(result_.step) + ")";
  }

  void check_same_run(const Checkpoint& from, const std::string& path) const {
    const Json now = lasting(options_);
    const Json before = from.facts.value("options", Json::object());
    for (const auto& [key, value] : now.items()) {
      if (before.contains(key) && before.at(key) == value) continue;
      throw Error("the checkpoint is of a run with another '" + key +
                      "': " + (before.contains(key) ? before.at(key).dump() : "none"),
                  {.path = path}, value.dump());
    }
    if (from.facts.value("batches", int64_t{-1}) != data_.training.batches) {
      throw Error("the checkpoint is of a run on other data", {.path = path},
                  std::to_string(data_.training.batches) + " batches in an epoch");
    }
  }

  void restore(const Checkpoint& from) {
    for (const auto& hook : hooks_) {
      const Json states = from.facts.value("hooks", Json::object());
      if (!states.contains(hook->name())) {
        throw Error("it holds nothing of the hook '" + hook->name() + "'");
      }
      hook->load_state({states.at(hook->name()), from.under("hook." + hook->name() + ".")}, *this);
    }
    const NamedTensors parameters = network_.parameters(), buffers = network_.buffers();
    copy_tensors(from.under("parameter."), {parameters.begin(), parameters.end()});
    copy_tensors(from.under("buffer."), {buffers.begin(), buffers.end()});
    set_optimiser_state(*optimiser_, parameters, from.under("optimiser."));
    if (average_) average_->set_tensors(from.under("average."));
    best_ = from.under("best.");
    restore_position(from.facts);
  }

  void restore_position(const Json& facts) {
    const auto get = [&](const char* key, auto& value) {
      JsonObject(facts, "").require(key, value);
    };
    get("step", result_.step);
    get("epoch", result_.epoch);
    get("loss", result_.loss);
    get("rate", rate_);
    get("rate_scale", rate_scale_);
    get("metrics", metrics_);
    get("backoffs", result_.backoffs);
    get("best_epoch", result_.best_epoch);
    get("best_score", result_.best_score);
    Json sums, divergence;
    get("sums", sums);
    get("divergence", divergence);
    sums_.read(sums);
    watch_.set_state(divergence);
  }

  Trainable& network_;
  const TrainData& data_;
  const TrainOptions& options_;
  const TrainCallbacks& callbacks_;
  c10::Device device_;
  RandomScope random_;
  DivergenceWatch watch_;
  TrainingHooks hooks_;
  Loss loss_;
  std::shared_ptr<torch::optim::Optimizer> optimiser_;
  std::optional<MovingAverage> average_;
  std::optional<MetricsLog> log_;
  std::optional<EventLog> events_;
  std::optional<Progress> progress_;
  std::map<std::string, at::Tensor> best_;  ///< of the best epoch, if it is to be kept
  std::optional<Checkpoint> last_good_;
  std::string last_file_;  ///< the last good checkpoint, for messages
  TrainResult result_;
  EpochSums sums_;
  Json metrics_ = Json::object();
  std::string status_;
  int64_t per_epoch_ = 0;
  int64_t progress_begin_ = 0;
  int64_t evaluated_at_ = 0;
  double rate_ = 0;
  double rate_scale_ = 1;
  double step_loss_ = 0;
  bool stopped_ = false;
};

}  // namespace

TrainResult train(Trainable& network, const TrainData& data, const TrainOptions& options,
                  const TrainCallbacks& callbacks) {
  options.verify();
  return Run(network, data, options, callbacks).run();
}

void load_weights(Trainable& network, const std::string& checkpoint) {
  const Checkpoint from = load_checkpoint(checkpoint);
  auto values = from.under("average.");
  if (values.empty()) {
    values = from.under("parameter.");
    values.merge(from.under("buffer."));
  }
  try {
    copy_tensors(values, all_tensors(network));
  } catch (const Error& error) {
    throw Error("the checkpoint does not fit: " + error.problem(), {.path = checkpoint},
                "a checkpoint of the same network");
  }
}

}  // namespace cpd
