#include <cpd/core/error.h>
#include <cpd/training/train_options.h>

namespace cpd {
namespace {

/// Calls `visit(key, field)` for each field that is a key of the same name.
template <typename Options, typename Visit>
void visit_fields(Options& options, const Visit& visit) {
  visit("epochs", options.epochs);
  visit("optimiser", options.optimiser);
  visit("schedule", options.schedule);
  visit("label_smoothing", options.label_smoothing);
  visit("mixup", options.mixup);
  visit("clip", options.clip);
  visit("accumulate", options.accumulate);
  visit("ema", options.ema);
  visit("bf16", options.bf16);
  visit("device", options.device);
  visit("seed", options.seed);
  visit("evaluate_every", options.evaluate_every);
  visit("keep_best", options.keep_best);
  visit("work_dir", options.work_dir);
  visit("checkpoint_every", options.checkpoint_every);
  visit("log_every", options.log_every);
  visit("tensorboard", options.tensorboard);
  visit("resume", options.resume);
  visit("divergence", options.divergence);
  visit("backoffs", options.backoffs);
  visit("backoff_factor", options.backoff_factor);
}

}  // namespace

void TrainOptions::verify(const std::string& path) const {
  const auto key = [&](const char* name) { return key_path(path, name); };
  const auto check = [&](const char* name, auto value, double low) {
    check_range(key(name), static_cast<double>(value), low);
  };
  check("epochs", epochs, 0);
  optimiser.verify(key("optimiser"));
  schedule.verify(key("schedule"));
  check_range(key("label_smoothing"), label_smoothing, 0, 1);
  check("mixup", mixup, 0);
  check("clip", clip, 0);
  check("accumulate", accumulate, 1);
  check("evaluate_every", evaluate_every, 1);
  check("checkpoint_every", checkpoint_every, 0);
  check("log_every", log_every, 0);
  check("divergence", divergence, 0);
  check("backoffs", backoffs, 0);
  check_range(key("backoff_factor"), backoff_factor, 0, 1);
  if (!(ema >= 0 && ema < 1)) {
    throw Error("the value is " + std::to_string(ema), {.path = key("ema")}, "from 0 to below 1");
  }
  if (!work_dir.empty()) return;
  if (resume == "auto") {
    throw Error("there is no folder with a checkpoint", {.path = key("resume")}, "a work_dir");
  }
  if (tensorboard) {
    throw Error("there is no folder for events", {.path = key("tensorboard")}, "a work_dir");
  }
}

void read_json(const Json& json, const std::string& path, TrainOptions& options) {
  JsonObject object(json, path);
  visit_fields(options, [&](const char* key, auto& field) { object.read(key, field); });
  object.finish();
}

void to_json(Json& json, const TrainOptions& options) {
  json = Json::object();
  visit_fields(options, [&](const char* key, const auto& field) { json[key] = field; });
}

}  // namespace cpd
