#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/cli/training_options.h>
#include <cpd/core/text.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <iostream>

namespace cpd::cli {
namespace {

/// An option of training, the key of the configuration that it sets, and how its text is read.
struct TrainingOption {
  const char* name;
  const char* value;
  const char* help;
  const char* key;  ///< with a dot for one in an inner object
  bool number;
};

constexpr TrainingOption kOptions[] = {
    {"epochs", "N", "rounds through the images (default: 10)", "epochs", true},
    {"optimiser", "NAME", "SGD (default), Adam or AdamW", "optimiser.type", false},
    {"lr", "R", "learning rate at its highest (default: 0.1)", "optimiser.lr", true},
    {"momentum", "R", "of SGD (default: 0.9)", "optimiser.momentum", true},
    {"weight-decay", "R", "pull of the weights to 0 (default: 0)", "optimiser.weight_decay", true},
    {"schedule", "NAME", "constant, step, cosine (default) or linear", "schedule.type", false},
    {"warmup", "R", "epochs in which the rate rises (default: 0)", "schedule.warmup", true},
    {"label-smoothing", "R", "share of the target spread over all classes", "label_smoothing",
     true},
    {"mixup", "R", "alpha of mixup (default: 0, no mixing)", "mixup", true},
    {"clip", "R", "largest norm of the gradients (default: any)", "clip", true},
    {"accumulate", "N", "batches whose gradients make a step (default: 1)", "accumulate", true},
    {"ema", "R", "decay of the weights' moving average (default: none)", "ema", true},
    {"device", "NAME", "cpu (default) or cuda", "device", false},
    {"work-dir", "DIR", "keep checkpoints and metrics in a folder", "work_dir", false},
    {"resume", "FILE|auto", "go on from a checkpoint", "resume", false},
};

constexpr const char* kFlags[] = {"bf16", "tensorboard"};

/// The number that a text is in JSON.
Json number_in(const TrainingOption& option, const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_number()) return json;
  throw UsageError(std::string("--") + option.name + ": the value is '" + text +
                   "'; expected a number");
}

/// What the options say, as a configuration.
Json options_json(const po::variables_map& values) {
  Json json = Json::object();
  for (const TrainingOption& option : kOptions) {
    if (!given(values, option.name)) continue;
    const std::string text = text_of(values, option.name), key = option.key;
    const Json value = option.number ? number_in(option, text) : Json(text);
    const size_t dot = key.find('.');
    if (dot == std::string::npos) {
      json[key] = value;
    } else {
      json[key.substr(0, dot)][key.substr(dot + 1)] = value;
    }
  }
  for (const char* flag : kFlags) {
    if (values.count(flag) > 0) json[flag] = true;
  }
  return json;
}

std::atomic<bool> interrupted = false;

void interrupt(int) { interrupted = true; }

std::pair<DatasetPointer, DatasetPointer> training_parts(const po::variables_map& values,
                                                         const DataOptions& options) {
  if (options.data.empty()) throw UsageError("--data is missing: the images to train on");
  const DatasetPointer all = open_dataset(options, "train");
  const int64_t held_out = whole_of(values, "hold-out", 0);
  if (held_out >= all->size()) {
    throw UsageError("--hold-out: the value is '" + std::to_string(held_out) +
                     "'; expected fewer than the " + std::to_string(all->size()) + " images");
  }
  if (held_out == 0) return {all, nullptr};
  return split_off(all, held_out, options.seed);
}

}  // namespace

void add_training_options(po::options_description& options) {
  for (const TrainingOption& option : kOptions) {
    options.add_options()(option.name, value(option.value), option.help);
  }
  options.add_options()("bf16", "run products in bfloat16")(
      "tensorboard", "write metrics to --work-dir as events of TensorBoard, too")(
      "hold-out", value("N")->default_value("0"),
      "training images that are not trained on: the epoch that does best on them is what is "
      "written");
}

void add_training_with_config(po::options_description& options) {
  add_training_options(options);
  options.add_options()("config", value("FILE"),
                        "all of these as JSON, and `hooks`; options stand over it");
}

Json training_config(const po::variables_map& values) {
  const std::string config = text_of(values, "config");
  if (config.empty()) return Json::object();
  return in_file(config, [&](const std::string& text) { return parse_json(text, ""); });
}

TrainOptions training_options(const po::variables_map& values, const Json& config) {
  TrainOptions options;
  options.seed = seed_of(values);
  at_path(text_of(values, "config"), [&] {
    read_json(config, "", options);
    // Keys that need a folder are fine where the command line names it.
    if (given(values, "work-dir")) options.work_dir = text_of(values, "work-dir");
    options.verify("");
  });
  set_training_options(values, options);
  if (whole_of(values, "hold-out", 0) > 0) options.keep_best = true;
  return options;
}

bool trains_by_options(const po::variables_map& values) {
  const auto is_given = [&](const TrainingOption& option) { return given(values, option.name); };
  return std::any_of(std::begin(kOptions), std::end(kOptions), is_given) ||
         std::any_of(std::begin(kFlags), std::end(kFlags),
                     [&](const char* flag) { return values.count(flag) > 0; });
}

void set_training_options(const po::variables_map& values, TrainOptions& options) {
  if (given(values, "seed")) options.seed = seed_of(values);
  try {
    read_json(options_json(values), "", options);
    options.verify("");
    check_range("epochs", static_cast<double>(options.epochs), 1);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

TrainingImages::TrainingImages(const po::variables_map& values, const ImageShape& shape)
    : TrainingImages(data_options(values), shape, training_parts(values, data_options(values))) {}

TrainingImages::TrainingImages(const DataOptions& options, const ImageShape& shape,
                               std::pair<DatasetPointer, DatasetPointer> parts)
    : training_(training_loader(parts.first, options, shape)) {
  if (parts.second) held_out_ = evaluation_loader(parts.second, options, shape);
}

TrainData TrainingImages::sources() {
  TrainData data{training_};
  if (held_out_) data.validation = *held_out_;
  return data;
}

const std::atomic<bool>& interruption() {
  std::signal(SIGINT, interrupt);
  return interrupted;
}

TrainResult train_with_progress(Trainable& network, TrainingImages& images,
                                const TrainOptions& options, const std::string& title, Loss loss,
                                TrainingHooks hooks) {
  TrainCallbacks callbacks;
  callbacks.loss = std::move(loss);
  callbacks.hooks = std::move(hooks);
  callbacks.interrupted = &interruption();
  callbacks.title = title;
  return train(network, images.sources(), options, callbacks);
}

void check_finished(const TrainResult& result, const TrainOptions& options) {
  if (!result.interrupted) return;
  throw Error("interrupted after step " + std::to_string(result.step) +
              (options.work_dir.empty() ? "" : "; `--resume auto` goes on from there"));
}

void deliver_trained(const po::variables_map& values, const TrainResult& result, const Json& more) {
  const std::string path = text_of(values, "output");
  Json json{
      {"model", path}, {"epochs", result.epoch}, {"steps", result.step}, {"loss", result.loss}};
  std::vector<std::pair<std::string, std::string>> facts = {
      {"epochs", std::to_string(result.epoch)}, {"loss", Json(result.loss).dump()}};
  if (result.evaluation) {
    const std::string images = std::to_string(result.evaluation->images) + " held-out images";
    json["held_out"] = {{"images", result.evaluation->images},
                        {"accuracy", result.evaluation->accuracy}};
    if (result.evaluation->mean_iou) {
      json["held_out"]["mean_iou"] = *result.evaluation->mean_iou;
      facts.emplace_back("mean IoU", percent_text(*result.evaluation->mean_iou) + " on " + images);
    } else {
      facts.emplace_back("accuracy", percent_text(result.evaluation->accuracy) + " of " + images);
    }
    if (result.best_epoch > 0) {
      json["best_epoch"] = result.best_epoch;
      facts.emplace_back("best epoch", std::to_string(result.best_epoch));
    }
  }
  for (const auto& [key, value] : more.items()) {
    json[key] = value;
    facts.emplace_back(key, value.dump());
  }
  std::cout << (values.count("json") > 0 ? json_text(json)
                                         : facts_text(facts) + "wrote " + path + "\n");
}

}  // namespace cpd::cli
