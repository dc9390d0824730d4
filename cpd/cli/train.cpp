#include <cpd/algorithms/activation_masks.h>
#include <cpd/algorithms/block_pruning.h>
#include <cpd/algorithms/pruning_hook.h>
#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/cli/training_options.h>
#include <cpd/exporters/export_pruned.h>

namespace cpd::cli {
namespace {

void add_train_options(po::options_description& options) {
  add_model_options(options);
  add_data_options(options);
  add_training_with_config(options);
  add_output_options(options, "the trained network");
}

/// What `hooks` of a configuration says.
struct HookConfig {
  std::optional<PruningHookOptions> pruning{};
  std::string pruning_path{};
  TrainingHooks others{};
  std::vector<std::string> masked_layers{};  ///< patterns
  std::string masks_path{};
};

void read_hook(const Json& json, const std::string& path, const TrainOptions& train,
               HookConfig& config) {
  std::string type;
  JsonObject(json, path).require("type", type);
  if (type == "PruningHook") {
    if (config.pruning) {
      throw Error("there are two hooks that prune", {.path = path}, "one PruningHook");
    }
    PruningHookOptions options;
    options.work_dir = train.work_dir;
    read_json(json, path, options);
    options.verify(path);
    config.pruning = std::move(options);
    config.pruning_path = path;
  } else if (type == "BlockPruningHook") {
    BlockPruningOptions options;
    read_json(json, path, options);
    for (const auto& target : options.targets) {
      config.masked_layers.insert(config.masked_layers.end(), target.activations.begin(),
                                  target.activations.end());
      if (!target.activations.empty()) config.masks_path = path;
    }
    config.others.push_back(std::make_shared<BlockPruningHook>(options, path));
  } else {
    throw_wrong_type(json.at("type"), key_path(path, "type"), "PruningHook or BlockPruningHook");
  }
}

/// Takes `hooks` out of a configuration of training.
HookConfig take_hooks(const po::variables_map& values, Json& config, const TrainOptions& train) {
  HookConfig hooks;
  const Json list = config.value("hooks", Json::array());
  at_path(text_of(values, "config"), [&] {
    if (!list.is_array()) throw_wrong_type(list, "hooks", "a list of objects");
    for (size_t i = 0; i < list.size(); ++i) {
      read_hook(list[i], "hooks[" + std::to_string(i) + "]", train, hooks);
    }
    if (hooks.pruning && !hooks.masked_layers.empty()) {
      throw Error("blocks of outputs cannot be chosen while channels are removed",
                  {.path = hooks.masks_path}, "a run of their own afterwards");
    }
  });
  return hooks;
}

/// Everything that a run of the command works with.
struct TrainingTask {
  TrainOptions options;
  HookConfig hooks;
};

TrainingTask read_training(const po::variables_map& values) {
  Json config = training_config(values);
  Json without = config;
  if (without.is_object()) without.erase("hooks");
  TrainingTask task{training_options(values, without), {}};
  if (config.is_object()) task.hooks = take_hooks(values, config, task.options);
  if (!given(values, "output")) throw UsageError("-o is missing: the file for the trained network");
  check_outputs(values, {"output"});
  return task;
}

/// Trains a network of one size.
void train_whole(const po::variables_map& values, TrainingTask& task,
                 std::shared_ptr<const Model> model, TrainingImages& images) {
  if (!task.hooks.masked_layers.empty()) {
    model = std::make_shared<const Model>(with_activation_masks(*model, task.hooks.masked_layers));
  }
  DynamicModel network(model, std::make_shared<const Combing>(comb(*model)));
  const auto result = train_with_progress(*trainable(network), images, task.options, "train",
                                          nullptr, task.hooks.others);
  check_finished(result, task.options);
  export_torchscript(with_masks_baked(network.model()), text_of(values, "output"),
                     {.force = values.count("force") > 0});
  deliver_trained(values, result);
}

/// Trains a network that gets smaller meanwhile.
void train_pruned(const po::variables_map& values, TrainingTask& task, const Model& model,
                  TrainingImages& images) {
  const auto mutator = make_mutator(model, *task.hooks.pruning);
  const auto hook = std::make_shared<PruningHook>(
      *mutator, *task.hooks.pruning, text_of(values, "config") + ": " + task.hooks.pruning_path);
  TrainingHooks hooks = task.hooks.others;
  hooks.push_back(hook);
  const auto result =
      train_with_progress(hook->network(), images, task.options, "train", nullptr, hooks);
  check_finished(result, task.options);
  export_torchscript(*mutator, text_of(values, "output"), {.force = values.count("force") > 0});
  const Cost cost = mutator->cost();
  deliver_trained(
      values, result,
      {{"macs", cost.macs}, {"parameters", cost.parameters}, {"prunings", hook->prunings()}});
}

int run_train(const po::variables_map& values) {
  TrainingTask task = read_training(values);
  const auto model = std::make_shared<const Model>(read_model(values));
  TrainingImages images(values, image_shape(*model));
  if (task.hooks.pruning) {
    train_pruned(values, task, *model, images);
  } else {
    train_whole(values, task, model, images);
  }
  return 0;
}

}  // namespace

Command train_command() {
  return {"train",
          "MODEL",
          "Trains a network on labelled images: one of the zoo from its beginning, a file further.",
          "cpd train zoo:fashion --data fashion-mnist --images 256 --epochs 1 --lr 0.05 -o net.pt",
          {"MODEL"},
          1,
          add_train_options,
          run_train};
}

}  // namespace cpd::cli
