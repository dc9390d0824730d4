#include <cpd/algorithms/one_shot.h>
#include <cpd/cli/arguments.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/evaluation.h>
#include <cpd/cli/figures.h>
#include <cpd/cli/model_argument.h>
#include <cpd/core/file.h>
#include <cpd/core/progress.h>
#include <cpd/core/text.h>
#include <cpd/distill/distiller.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/training/train.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <optional>
#include <tuple>

namespace cpd::cli {
namespace {

constexpr const char* kNetwork = "zoo:fashion";
constexpr double kKept = 0.5;
constexpr int64_t kHeldOut = 5000;
constexpr int64_t kCalibration = 1024;
constexpr int64_t kTestImages = 10'000;

void add_demo_options(po::options_description& options) {
  add_run_options(options);
  options.add_options()("epochs", value("N")->default_value("2"), "rounds of training at first")(
      "tune-epochs", value("N")->default_value("1"), "rounds of training after pruning")(
      "images", value("N")->default_value("0"), "training and test images at most; 0 = all");
  options.add_options()("output,o", value("DIR")->default_value("cpd-demo"),
                        "folder for the networks and reports")(
      "json", "print the result as JSON to standard output")("force", "use a folder that exists");
}

/// The images: what is trained on, what choices are made by, what the figures are of.
struct DemoImages {
  DataOptions options;
  DatasetPointer training;
  DatasetPointer held_out;
  DatasetPointer test;
};

DemoImages open_images(const po::variables_map& values) {
  DemoImages images;
  images.options.data = "fashion-mnist";
  images.options.images = whole_of(values, "images", 0);
  images.options.batch = 128;
  images.options.seed = seed_of(values);
  const DatasetPointer all = open_dataset(images.options, "train");
  const int64_t held_out = std::min(kHeldOut, all->size() / 4);
  std::tie(images.training, images.held_out) = split_off(all, held_out, images.options.seed);
  DataOptions test = images.options;
  test.images = std::min(test.images, kTestImages);
  images.test = open_dataset(test, "test");
  return images;
}

/// One demonstration: the state that its steps hand on.
class Demo {
 public:
  explicit Demo(const po::variables_map& values)
      : values_(values), folder_(text_of(values, "output")), images_(open_images(values)) {}

  void run() {
    make_folder();
    train_dense();
    prune_in_one_shot();
    choose_method();
    tune();
    show();
  }

 private:
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void make_folder();
  void train_dense();
  void prune_in_one_shot();
  void choose_method();
  void tune();
  void show();

  Loader loader(const DatasetPointer& dataset) const {
    return evaluation_loader(dataset, images_.options, shape_);
  }
  TrainOptions train_options(const std::string& epochs, double lr) const;
  void run_training(DynamicModel& network, const TrainOptions& options, const std::string& title,
                    Loss loss = nullptr) const;
  CalibrationData calibration() const;
  /// The trained network pruned to its budget.
  OneShot prune(OneShotOptions options, Report& report) const;
  /// Of the network at its smaller size.
  double accuracy(DynamicModel& network, const DatasetPointer& dataset) const;
  double test_accuracy(const std::string& file) const;
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  const po::variables_map& values_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::string folder_;
  DemoImages images_;
  ImageShape shape_{};
  std::shared_ptr<const Model> dense_;
  std::optional<OneShot> chosen_;
  Report report_;
  // On the test images, before anything is trained again:
  double l1_accuracy_ = 0;       ///< of L1 scores in one shot
  double untuned_accuracy_ = 0;  ///< of the chosen method
};

void Demo::make_folder() {
  std::error_code ignored;
  if (std::filesystem::exists(folder_, ignored) && values_.count("force") == 0) {
    throw Error("exists already", {.path = folder_}, "a new folder, or --force to use it");
  }
  std::filesystem::create_directories(folder_, ignored);
  if (!std::filesystem::is_directory(folder_, ignored)) {
    throw Error("cannot be made", {.path = folder_}, "a place where a folder can be made");
  }
}

TrainOptions Demo::train_options(const std::string& epochs, double lr) const {
  TrainOptions options;
  options.epochs = whole_of(values_, epochs, 1);
  options.seed = seed_of(values_);
  options.optimiser.lr = lr;
  options.optimiser.nesterov = true;
  options.optimiser.weight_decay = 5e-4;
  options.schedule.warmup = 0.25;
  return options;
}

void Demo::train_dense() {
  const auto model = std::make_shared<const Model>(read_model_file(kNetwork, values_));
  shape_ = image_shape(*model);
  DynamicModel network(model, std::make_shared<const Combing>(comb(*model)));
  run_training(network, train_options("epochs", 0.1), "train");
  export_torchscript(*model, path("dense.pt"), {.force = true});
  // From here on the file is what counts, as it does for a user.
  dense_ = std::make_shared<const Model>(read_model_file(path("dense.pt"), values_));
}

void Demo::run_training(DynamicModel& network, const TrainOptions& options,
                        const std::string& title, Loss loss) const {
  Loader training = training_loader(images_.training, images_.options, shape_);
  Loader held_out = loader(images_.held_out);
  TrainCallbacks callbacks;
  callbacks.title = title;
  callbacks.loss = std::move(loss);
  train(*trainable(network), {training, held_out}, options, callbacks);
}

CalibrationData Demo::calibration() const {
  const auto count = std::min(kCalibration, images_.training->size());
  Loader batches = loader(drawn(images_.training, count, images_.options.seed));
  CalibrationData data;
  while (auto batch = batches.next()) data.push_back({{batch->images}, batch->labels});
  return data;
}

OneShot Demo::prune(OneShotOptions options, Report& report) const {
  options.budget.macs = kKept;
  options.mutator.seed = seed_of(values_);
  options.mutator.unit.divisor = 4;
  OneShot algorithm(std::make_unique<ChannelMutator>(dense_, options.mutator), options);
  report = algorithm.run(calibration());
  return algorithm;
}

double Demo::accuracy(DynamicModel& network, const DatasetPointer& dataset) const {
  Loader images = loader(dataset);
  network.set_mode(RunMode::kCompact);
  return evaluate(*trainable(network), images).accuracy;
}

double Demo::test_accuracy(const std::string& file) const {
  Loader images = loader(images_.test);
  return evaluate(*load_network(path(file), 0), images).accuracy;
}

/// What a first attempt at pruning does.
void Demo::prune_in_one_shot() {
  Report report;
  const OneShot algorithm = prune({.allocation = "uniform"}, report);
  export_torchscript(algorithm.mutator(), path("one_shot.pt"), {.force = true});
  l1_accuracy_ = test_accuracy("one_shot.pt");
}

/// Takes the method that leaves most of the held-out images right.
void Demo::choose_method() {
  OneShotOptions curvature = one_shot_with_data();
  curvature.mutator.importance = "hessian";
  double best = -1;
  for (const OneShotOptions& options : {OneShotOptions{}, curvature}) {
    Report report;
    OneShot algorithm = prune(options, report);
    const double held_out = accuracy(algorithm.mutator().model(), images_.held_out);
    if (held_out <= best) continue;
    best = held_out;
    chosen_.emplace(std::move(algorithm));
    report_ = report;
  }
  untuned_accuracy_ = accuracy(chosen_->mutator().model(), images_.test);
}

/// Trains the smaller network to answer as the dense one does, and writes it.
void Demo::tune() {
  ChannelMutator& mutator = chosen_->mutator();
  Plan plan = mutator.plan();
  plan.refit.clear();
  for (const auto& entry : dense_->parameters) {
    if (entry.role != ParameterRole::kConstant) plan.refit.push_back(entry.name);
  }
  DynamicModel& network = mutator.model();
  Distiller distiller(*dense_, network);
  network.set_mode(RunMode::kMasked);
  distiller.before_shrink(network);
  network.shrink();
  const Loss loss = [&](const std::vector<at::Tensor>& outputs, const Batch& batch) {
    return distiller.loss(network, {{batch.images}, outputs, {}, batch.labels}).total;
  };
  run_training(network, train_options("tune-epochs", 0.02), "tune", loss);
  ExportOptions options{.force = true};
  options.extra_files = {{"plan.json", to_json(plan)}, {"report.json", to_json(report_)}};
  export_torchscript(network.model(), path("pruned.pt"), options);
  write_file(path("plan.json"), to_json(plan));
}

/// The figures of the files that were written, read again.
void Demo::show() {
  const auto read = [&](const std::string& file, const std::string& name) {
    Figures figures = figures_of(read_model_file(path(file), values_), path(file), name);
    figures.accuracy = test_accuracy(file);
    return figures;
  };
  const Figures dense = read("dense.pt", "dense"), pruned = read("pruned.pt", "pruned");
  report_.accuracy = {{"dense", *dense.accuracy},
                      {"pruned", *pruned.accuracy},
                      {"untuned", untuned_accuracy_},
                      {"l1_one_shot", l1_accuracy_}};
  write_file(path("report.json"), to_json(report_));
  Json json{{"dense", figures_json(dense)},
            {"pruned", figures_json(pruned)},
            {"untuned", {{"accuracy", untuned_accuracy_}}},
            {"l1_one_shot", {{"accuracy", l1_accuracy_}}},
            {"images", images_.test->size()},
            {"importance", report_.importance},
            {"seconds", seconds()}};
  if (values_.count("json") > 0) {
    std::cout << json_text(json);
    return;
  }
  std::cout << "\n"
            << figures_table({dense, pruned}) << "\naccuracy on " << images_.test->size()
            << " test images of the files as they were read again; " << threads_text()
            << "\nbefore any training: L1 scores in one shot " << percent_text(l1_accuracy_) << ", "
            << report_.importance << " scores " << percent_text(untuned_accuracy_)
            << "; the latter tuned with the dense network as teacher "
            << percent_text(*pruned.accuracy) << "\ngained over L1 in one shot, neither trained: "
            << percent_text(untuned_accuracy_ - l1_accuracy_) << " of the images\nwrote "
            << path("dense.pt") << " and " << path("pruned.pt") << " in "
            << duration_text(seconds()) << "\n";
}

int run_demo(const po::variables_map& values) {
  set_threads(values);
  Demo(values).run();
  return 0;
}

}  // namespace

Command demo_command() {
  return {"demo",
          "",
          "The whole road on Fashion-MNIST: train, prune to half the MACs, tune, export, compare.",
          "cpd demo -o cpd-demo",
          {},
          0,
          add_demo_options,
          run_demo};
}

}  // namespace cpd::cli
