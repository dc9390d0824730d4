#include <cpd/algorithms/distill.h>
#include <cpd/algorithms/distillation.h>
#include <cpd/algorithms/iterative.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <training/fixture.h>

#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

/// How far the answers of a network are from those of the network that was given.
double distance(ChannelMutator& mutator) {
  const torch::NoGradGuard no_grad;
  const at::Tensor images = loader_of(48, 2, false, 48).next()->images;
  DynamicModel teacher(std::make_shared<const Model>(mutator.dense()),
                       std::make_shared<const Combing>(mutator.combing()));
  mutator.model().train(false);
  return (mutator.model().forward(images).softmax(1) - teacher.forward(images).softmax(1))
      .abs()
      .mean()
      .item<double>();
}

TEST(Distill, BringsAPrunedNetworkNearToItsTeacher) {
  DistillAlgorithmOptions options;
  options.distill.label_weight = 0;
  options.train = {.epochs = 6, .optimiser = {.lr = 0.05}};
  Distill algorithm(learnt_model(), options);
  algorithm.mutator().allocate({.macs = 0.5});
  const double before = distance(algorithm.mutator());
  Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
  const Report report = algorithm.run({training, validation}, {.quiet = true});
  EXPECT_LT(distance(algorithm.mutator()), 0.5 * before);
  EXPECT_EQ(report.algorithm, "Distill");
  EXPECT_GT(report.accuracy.at("pruned"), 0.9);
  EXPECT_LE(2 * report.after.macs, report.before.macs);
  EXPECT_THAT(algorithm.text(), HasSubstr("Distill(\n  (architecture): Model(\n"));
}

IterativeOptions distilled_options() {
  IterativeOptions options;
  options.budget.macs = 0.5;
  options.interval = 3;
  options.prunings = 4;
  options.train = {.epochs = 4, .optimiser = {.lr = 0.05}, .seed = 5};
  DistillTerm inner;
  inner.loss = "mse";
  inner.pairs = {{.student = "conv1"}, {.student = "conv2"}};
  options.distill = DistillOptions{};
  options.distill->losses.push_back(inner);
  return options;
}

TEST(Iterative, LearnsFromItsTeacherWhileItShrinks) {
  Iterative algorithm(learnt_model(), distilled_options());
  Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
  const Report report = algorithm.run({training, validation}, {.quiet = true});
  EXPECT_GT(report.accuracy.at("pruned"), 0.9);
  EXPECT_LE(2 * report.after.macs, report.before.macs);
}

TEST(Iterative, ResumesWithATeacher) {
  struct Stops : TrainingHook {
    std::string name() const override { return "stops"; }
    void after_iteration(TrainingRun& run) override {
      if (run.step() == stop) flag = true;
    }
    int64_t stop = -1;
    std::atomic<bool> flag{false};
  };
  const auto run = [](const std::string& work_dir, int64_t stop) {
    const auto stops = std::make_shared<Stops>();
    stops->stop = stop;
    IterativeOptions options = distilled_options();
    options.train.work_dir = work_dir;
    options.train.resume = "auto";
    Iterative algorithm(learnt_model(), options);
    Loader training = loader_of(96, 1, true);
    algorithm.run({training}, {.hooks = {stops}, .interrupted = &stops->flag, .quiet = true});
    std::vector<at::Tensor> values;
    for (const auto& [name, tensor] : ShrinkingNetwork(algorithm.mutator()).parameters()) {
      values.push_back(tensor);
    }
    return values;
  };
  const Folder whole, parts;
  const auto expected = run(whole.path(), -1);
  run(parts.path(), 8);
  const auto resumed = run(parts.path(), -1);
  ASSERT_EQ(resumed.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(resumed[i].equal(expected[i])) << i;
}

TEST(Distill, ReadsItsConfiguration) {
  const auto read = [](const std::string& text) {
    DistillAlgorithmOptions options;
    read_json(parse_json(text, "test"), "", options);
    return options;
  };
  const DistillAlgorithmOptions options = read(
      R"({"type": "Distill", "distill": {"losses": ["dist"], "label_weight": 0.5},
          "train": {"epochs": 2}})");
  EXPECT_EQ(options.train.epochs, 2);
  EXPECT_EQ(options.distill.label_weight, 0.5);
  EXPECT_EQ(Json(read(Json(options).dump())), Json(options));
  const auto error = [&](const std::string& text) { return message_of([&] { read(text); }); };
  EXPECT_THAT(error(R"({"type": "Distil"})"), HasSubstr("Distill"));
  EXPECT_THAT(error(R"({"distill": {"los": []}})"), HasSubstr("distill.los"));
  EXPECT_THAT(error(R"({"train": {"epoch": 2}})"), HasSubstr("train.epoch"));
}

}  // namespace
}  // namespace cpd::testing
