#include <cpd/comb/combing.h>
#include <cpd/core/file.h>
#include <cpd/exporters/compact_module.h>
#include <cpd/zoo/network.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/optimizer.h>

#include <fstream>
#include <sstream>

#include "fixture.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

TrainOptions options_of(const std::string& work_dir = "") {
  return {.epochs = 3,
          .optimiser = {.lr = 0.05, .weight_decay = 1e-4},
          .schedule = {.warmup = 0.5},
          .seed = 5,
          .work_dir = work_dir};
}

/// One run from the same beginning; `interrupt_after` steps it is stopped as Ctrl-C does.
class StopsAfter : public TrainingHook {
 public:
  explicit StopsAfter(int64_t step) : step_(step) {}
  std::string name() const override { return "stops"; }
  void after_iteration(TrainingRun& run) override {
    if (run.step() == step_) flag = true;
  }
  std::atomic<bool> flag{false};

 private:
  int64_t step_;
};

struct Outcome {
  std::shared_ptr<SmallNetwork> network = std::make_shared<SmallNetwork>();
  std::unique_ptr<Trainable> handle = trainable(network);
  TrainResult result;
  bool kept_generator = false;  ///< LibTorch's shared one
};

Outcome run(const TrainOptions& options, int64_t interrupt_after = -1, bool validate = true) {
  Outcome outcome;
  Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
  const auto hook = std::make_shared<StopsAfter>(interrupt_after);
  TrainData data{training};
  if (validate) data.validation.emplace(validation);
  const at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  const at::Tensor state = generator.get_state();
  outcome.result = train(*outcome.handle, data, options,
                         {.hooks = {hook}, .interrupted = &hook->flag, .quiet = true});
  outcome.kept_generator = generator.get_state().equal(state);
  return outcome;
}

TEST(Train, Learns) {
  TrainOptions options = options_of();
  options.epochs = 8;
  const Outcome outcome = run(options);
  EXPECT_EQ(outcome.result.step, 48);
  EXPECT_EQ(outcome.result.epoch, 8);
  ASSERT_TRUE(outcome.result.evaluation.has_value());
  EXPECT_GT(outcome.result.evaluation->accuracy, 0.95);
  EXPECT_LT(outcome.result.loss, 0.3);
}

TEST(Train, GivesTheSameWeightsForTheSameSeed) {
  torch::manual_seed(1);
  const Outcome first = run(options_of());
  torch::manual_seed(2);
  const Outcome second = run(options_of());
  EXPECT_TRUE(first.kept_generator && second.kept_generator);
  EXPECT_EQ(differences(*first.handle, *second.handle), "");
  TrainOptions other = options_of();
  other.seed = 6;
  EXPECT_NE(differences(*first.handle, *run(other).handle), "");
}

/// Steps and losses of all lines of metrics.
std::string metrics_of(const Folder& folder) { return read_file(folder / "metrics.jsonl"); }

TrainOptions everything_on() {
  TrainOptions options = options_of();
  options.optimiser = {.type = OptimiserType::kAdamW, .lr = 0.01, .weight_decay = 0.01};
  options.label_smoothing = 0.1;
  options.mixup = 0.3;
  options.clip = 1;
  options.accumulate = 2;
  options.ema = 0.9;
  options.checkpoint_every = 2;
  options.log_every = 1;
  options.tensorboard = true;
  return options;
}

void check_resumption(TrainOptions options, int64_t stop_after) {
  SCOPED_TRACE(stop_after);
  const Folder whole_folder, folder;
  options.work_dir = whole_folder.path();
  const Outcome whole = run(options);
  options.work_dir = folder.path();
  const Outcome part = run(options, stop_after);
  EXPECT_TRUE(part.result.interrupted);
  EXPECT_EQ(part.result.step, stop_after);
  options.resume = "auto";
  const Outcome resumed = run(options);
  EXPECT_FALSE(resumed.result.interrupted);
  EXPECT_EQ(differences(*whole.handle, *resumed.handle), "");
  EXPECT_EQ(metrics_of(whole_folder), metrics_of(folder));
  EXPECT_EQ(whole.result.best_epoch, resumed.result.best_epoch);
  EXPECT_EQ(whole.result.best_score, resumed.result.best_score);
  const Checkpoint a = load_checkpoint(whole_folder / "last.ckpt");
  const Checkpoint b = load_checkpoint(folder / "last.ckpt");
  EXPECT_EQ(a.facts, b.facts);
  for (const auto& [name, tensor] : a.tensors)
    EXPECT_TRUE(tensor.equal(b.tensors.at(name))) << name;
}

TEST(Train, ResumesAsIfItHadNeverStopped) {
  // An epoch has 6 steps: in the middle of one, at the end of one, in the middle of the last.
  for (const int64_t stop : {4, 6, 17}) check_resumption(options_of(), stop);
}

TEST(Train, ResumesWithEverythingOn) {
  // An epoch has 3 steps.
  TrainOptions options = everything_on();
  options.keep_best = true;
  for (const int64_t stop : {2, 3, 7}) check_resumption(options, stop);
}

TEST(Train, ResumesFromACheckpointThatWasNotTheEnd) {
  // What a machine that is lost leaves behind: a checkpoint and later lines of metrics.
  const Folder whole_folder, folder;
  TrainOptions options = everything_on();
  options.work_dir = whole_folder.path();
  const Outcome whole = run(options);
  options.work_dir = folder.path();
  run(options, 4);
  std::ofstream(folder / "metrics.jsonl", std::ios::app) << R"({"step":6})"
                                                         << "\n"
                                                         << R"({"st)";
  options.resume = folder / "last.ckpt";
  const Outcome resumed = run(options);
  EXPECT_EQ(differences(*whole.handle, *resumed.handle), "");
  EXPECT_EQ(metrics_of(whole_folder), metrics_of(folder));
}

TEST(Train, RefusesCheckpointsOfOtherRuns) {
  const Folder folder;
  TrainOptions options = options_of(folder.path());
  run(options, 4);
  options.resume = "auto";
  const auto error = [&](const TrainOptions& other) { return message_of([&] { run(other); }); };
  TrainOptions other = options;
  other.optimiser.lr = 0.2;
  EXPECT_THAT(error(other), HasSubstr("last.ckpt"));
  EXPECT_THAT(error(other), HasSubstr("another 'optimiser'"));

  Checkpoint changed = load_checkpoint(folder / "last.ckpt");
  changed.tensors.erase("parameter.head.bias");
  save_checkpoint(changed, folder / "less.ckpt");
  changed.tensors["parameter.head.bias"] = torch::rand({5});
  save_checkpoint(changed, folder / "other.ckpt");
  options.resume = folder / "less.ckpt";
  EXPECT_THAT(error(options), HasSubstr("less.ckpt"));
  EXPECT_THAT(error(options), HasSubstr("'head.bias'"));
  options.resume = folder / "other.ckpt";
  EXPECT_THAT(error(options), HasSubstr("another shape"));
  write_file(folder / "bad.ckpt", read_file(folder / "last.ckpt").substr(0, 900));
  options.resume = folder / "bad.ckpt";
  EXPECT_THAT(error(options), HasSubstr("bad.ckpt"));
}

TEST(Train, KeepsTheBestWeights) {
  const Folder folder;
  const Outcome outcome = run(options_of(folder.path()));
  const Checkpoint best = load_checkpoint(folder / "best.ckpt");
  EXPECT_EQ(best.facts.at("epoch"), outcome.result.best_epoch);
  Outcome other;
  load_weights(*other.handle, folder / "best.ckpt");
  Loader validation = loader_of(48, 2, false);
  EXPECT_EQ(evaluate(*other.handle, validation, {.quiet = true}).accuracy,
            outcome.result.best_score);
  const auto module = std::make_shared<torch::nn::Linear>(3, 2);
  EXPECT_THAT(message_of([&] { load_weights(*trainable(module->ptr()), folder / "best.ckpt"); }),
              HasSubstr("best.ckpt"));
}

TEST(Train, HandsOverTheBestEpoch) {
  /// Makes the last epoch a bad one.
  struct Spoils : TrainingHook {
    std::string name() const override { return "spoils"; }
    void after_iteration(TrainingRun& run) override {
      const torch::NoGradGuard no_grad;
      if (run.epoch() + 1 < run.options().epochs) return;
      for (const auto& [name, tensor] : run.network().parameters()) tensor.zero_();
    }
  };
  for (const double ema : {0.0, 0.5}) {
    const Folder folder;
    TrainOptions options = options_of(folder.path());
    options.ema = ema;
    options.keep_best = true;
    const auto network = std::make_shared<SmallNetwork>();
    Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
    const TrainResult result = train(*trainable(network), {training, validation}, options,
                                     {.hooks = {std::make_shared<Spoils>()}, .quiet = true});
    EXPECT_LT(result.best_epoch, 3);
    EXPECT_EQ(result.evaluation->score(), result.best_score);
    EXPECT_EQ(evaluate(*trainable(network), validation, {.quiet = true}).score(),
              result.best_score);
    const auto best = std::make_shared<SmallNetwork>();
    load_weights(*trainable(best), folder / "best.ckpt");
    EXPECT_EQ(differences(*trainable(best), *trainable(network)), "");
  }
}

TEST(Train, EvaluatesAndReturnsAveragedWeights) {
  const Folder folder;
  TrainOptions options = options_of(folder.path());
  options.ema = 0.9;
  const Outcome outcome = run(options);
  const Checkpoint last = load_checkpoint(folder / "last.ckpt");
  EXPECT_TRUE(outcome.network->head->weight.equal(last.tensors.at("average.head.weight")));
  EXPECT_FALSE(outcome.network->head->weight.equal(last.tensors.at("parameter.head.weight")));
  Loader validation = loader_of(48, 2, false);
  EXPECT_EQ(evaluate(*outcome.handle, validation, {.quiet = true}).accuracy,
            outcome.result.evaluation->accuracy);
}

TEST(Train, AccumulatesTheGradientsOfALargerBatch) {
  // Without batch norm and dropout, two batches of 16 are one of 32.
  const auto weights = [](int64_t batch, int64_t accumulate) {
    Outcome outcome;
    outcome.handle->train(false);
    outcome.network->bn1->eval();
    Loader loader = loader_of(96, 1, true, batch);
    TrainOptions options = options_of();
    options.epochs = 1;
    options.accumulate = accumulate;
    const auto module = outcome.network;
    struct Still : Trainable {
      explicit Still(Trainable& inner) : inner_(inner) {}
      Tensors forward(const Tensors& inputs) override { return inner_.forward(inputs); }
      NamedTensors parameters() const override { return inner_.parameters(); }
      NamedTensors buffers() const override { return inner_.buffers(); }
      void train(bool) override {}
      bool is_training() const override { return false; }
      void to(c10::Device) override {}
      Trainable& inner_;
    } still(*outcome.handle);
    train(still, {loader}, options, {.quiet = true});
    return outcome.network->head->weight.detach().clone();
  };
  EXPECT_TRUE(weights(16, 2).allclose(weights(32, 1), 1e-4, 1e-6));
  EXPECT_FALSE(weights(16, 1).allclose(weights(32, 1), 1e-4, 1e-6));
}

TEST(Train, StopsWhereTheLossIsNotFinite) {
  const Folder folder;
  Outcome outcome;
  Loader training = loader_of(96, 1, true);
  int64_t calls = 0;
  const Loss loss = [&](const Tensors& outputs, const Batch& batch) {
    return cross_entropy(outputs, batch) * (++calls == 9 ? std::nan("") : 1.0);
  };
  const auto work = [&](const std::string& work_dir) {
    calls = 0;
    return message_of([&] {
      train(*outcome.handle, {training}, options_of(work_dir), {.loss = loss, .quiet = true});
    });
  };
  const std::string message = work(folder.path());
  EXPECT_THAT(message, HasSubstr("diverges at step 8"));
  EXPECT_THAT(message, HasSubstr("nan"));
  EXPECT_THAT(message, HasSubstr("last.ckpt (step 6)"));
  EXPECT_EQ(load_checkpoint(folder / "last.ckpt").facts.at("step"), 6);
  EXPECT_THAT(work(""), HasSubstr("no checkpoint was written"));
}

TEST(Train, StopsWhereTheLossDiverges) {
  TrainOptions options = options_of();
  options.optimiser.lr = 1000;
  EXPECT_THAT(message_of([&] { run(options); }), HasSubstr("the training diverges at step"));
}

TEST(Train, BacksOffWithALowerRate) {
  const Folder folder;
  Outcome outcome;
  Loader training = loader_of(96, 1, true);
  TrainOptions options = options_of(folder.path());
  options.backoffs = 1;
  int64_t calls = 0;
  const Loss loss = [&](const Tensors& outputs, const Batch& batch) {
    return cross_entropy(outputs, batch) * (++calls == 9 ? std::nan("") : 1.0);
  };
  const TrainResult result =
      train(*outcome.handle, {training}, options, {.loss = loss, .quiet = true});
  EXPECT_EQ(result.backoffs, 1);
  EXPECT_EQ(result.step, 18);
  EXPECT_EQ(calls, 9 + 12);
  EXPECT_THAT(metrics_of(folder), HasSubstr(R"("diverged_at":8)"));
  EXPECT_EQ(load_checkpoint(folder / "last.ckpt").facts.at("rate_scale"), 0.1);
}

TEST(Train, NamesAFolderThatCannotBeWritten) {
  const Folder folder;
  write_file(folder / "file", "");
  EXPECT_THAT(message_of([&] { run(options_of(folder / "file/below")); }), HasSubstr("file/below"));
}

/// Writes down what it sees.
class Recorder : public TrainingHook {
 public:
  Recorder(std::string name, int priority, std::string& seen)
      : name_(std::move(name)), priority_(priority), seen_(seen) {}
  std::string name() const override { return name_; }
  int priority() const override { return priority_; }
  void before_run(TrainingRun&) override { seen_ += name_ + " begins\n"; }
  void before_update(TrainingRun& run) override {
    seen_ += name_ + " updates " + std::to_string(run.step()) + "\n";
  }
  void after_iteration(TrainingRun& run) override {
    if (run.step() == 2) run.stop();
    run.metrics()[name_] = run.step();
    seen_ += name_ + " step " + std::to_string(run.step()) + "\n";
  }
  void after_epoch(TrainingRun&) override { seen_ += name_ + " epoch\n"; }
  void after_run(TrainingRun&) override { seen_ += name_ + " ends\n"; }

 private:
  std::string name_;
  int priority_;
  std::string& seen_;
};

TEST(Train, CallsHooksInOrderOfPriority) {
  Outcome outcome;
  Loader training = loader_of(32, 1, true);
  std::string seen;
  const auto late = std::make_shared<Recorder>("late", 60, seen);
  const auto early = std::make_shared<Recorder>("early", 40, seen);
  const TrainResult result =
      train(*outcome.handle, {training}, options_of(), {.hooks = {late, early}, .quiet = true});
  EXPECT_EQ(result.step, 2);
  EXPECT_EQ(seen,
            "early begins\nlate begins\n"
            "early updates 0\nlate updates 0\nearly step 1\nlate step 1\n"
            "early updates 1\nlate updates 1\nearly step 2\nlate step 2\n"
            "early epoch\nlate epoch\nearly ends\nlate ends\n");
}

TEST(Train, TakesEveryKindOfNetwork) {
  const at::Tensor example = torch::rand({2, 1, 16, 16});
  const auto network = std::make_shared<SmallNetwork>();
  network->eval();
  const auto model = std::make_shared<const Model>(trace_model(network, {example}));
  DynamicModel dynamic(model, std::make_shared<const Combing>(comb(*model)));
  const auto zoo = make_network(parse_network("zoo:resnet20:classes=3:channels=1:size=16"), 1);
  Loader training(bright_images(32, 1), {.shape = {1, 16, 16}, .batch = 16});
  TrainOptions options = options_of();
  options.epochs = 1;
  const auto trains = [&](std::unique_ptr<Trainable> handle) {
    std::vector<at::Tensor> before;
    for (const auto& [name, tensor] : handle->parameters()) before.push_back(tensor.clone());
    train(*handle, {training}, options, {.quiet = true});
    const NamedTensors after = handle->parameters();
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_FALSE(after[i].second.equal(before[i])) << after[i].first;
    }
  };
  trains(trainable(export_module(*model)));
  trains(trainable(dynamic));
  trains(trainable(zoo));
}

TEST(Train, RunsInBfloat16) {
  TrainOptions options = options_of();
  options.bf16 = true;
  options.epochs = 8;
  const Outcome outcome = run(options);
  EXPECT_GT(outcome.result.evaluation->accuracy, 0.9);
  EXPECT_EQ(outcome.network->head->weight.scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace cpd::testing
