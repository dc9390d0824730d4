#include <cpd/core/file.h>
#include <cpd/training/device.h>
#include <cpd/training/mixup.h>
#include <cpd/training/moving_average.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include "fixture.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

template <typename Options>
Options read(const std::string& text) {
  Options options;
  read_json(parse_json(text, "test"), "train", options);
  return options;
}

TEST(Schedule, FollowsItsFormula) {
  const auto factor = [](const ScheduleOptions& options, int64_t step) {
    return schedule_factor(options, step, 100, 10);
  };
  const ScheduleOptions cosine{.end = 0.2};
  EXPECT_DOUBLE_EQ(factor(cosine, 0), 1);
  EXPECT_DOUBLE_EQ(factor(cosine, 50), 0.6);
  EXPECT_NEAR(factor(cosine, 100), 0.2, 1e-12);
  const ScheduleOptions linear{.type = ScheduleType::kLinear, .warmup = 2};
  EXPECT_DOUBLE_EQ(factor(linear, 0), 0.05);
  EXPECT_DOUBLE_EQ(factor(linear, 19), 1);
  EXPECT_DOUBLE_EQ(factor(linear, 20), 1);
  EXPECT_DOUBLE_EQ(factor(linear, 60), 0.5);
  const ScheduleOptions step{.type = ScheduleType::kStep, .milestones = {3, 6.5}, .gamma = 0.5};
  EXPECT_DOUBLE_EQ(factor(step, 29), 1);
  EXPECT_DOUBLE_EQ(factor(step, 30), 0.5);
  EXPECT_DOUBLE_EQ(factor(step, 64), 0.5);
  EXPECT_DOUBLE_EQ(factor(step, 65), 0.25);
  const ScheduleOptions constant{.type = ScheduleType::kConstant, .warmup = 1, .warmup_start = 0.5};
  EXPECT_DOUBLE_EQ(factor(constant, 0), 0.55);
  EXPECT_DOUBLE_EQ(factor(constant, 99), 1);
}

TEST(TrainOptions, ReadWhatTheyWrite) {
  const TrainOptions options = read<TrainOptions>(
      R"({"epochs": 3, "optimiser": {"type": "AdamW", "lr": 0.01, "betas": [0.8, 0.9]},
          "schedule": {"type": "step", "milestones": [1, 2]}, "mixup": 0.2, "ema": 0.99,
          "backoffs": 2, "work_dir": "runs", "resume": "auto"})");
  EXPECT_EQ(options.optimiser.type, OptimiserType::kAdamW);
  EXPECT_EQ(options.optimiser.beta1, 0.8);
  EXPECT_EQ(options.schedule.milestones, (std::vector<double>{1, 2}));
  EXPECT_EQ(read<TrainOptions>(Json(options).dump()), options);
  EXPECT_EQ(read<TrainOptions>(R"({"optimiser": "Adam", "schedule": "linear"})").schedule.type,
            ScheduleType::kLinear);
}

TEST(TrainOptions, NameTheKeyThatIsWrong) {
  const auto error = [](const std::string& text) {
    return message_of([&] { read<TrainOptions>(text).verify(); });
  };
  EXPECT_THAT(error(R"({"epoch": 3})"), HasSubstr("train.epoch"));
  EXPECT_THAT(error(R"({"optimiser": {"lr": "fast"}})"), HasSubstr("train.optimiser.lr"));
  EXPECT_THAT(error(R"({"optimiser": {"type": "SDG"}})"), HasSubstr("SGD, Adam, AdamW"));
  EXPECT_THAT(error(R"({"optimiser": {"momentum": 0, "nesterov": true}})"), HasSubstr("nesterov"));
  EXPECT_THAT(error(R"({"optimiser": {"betas": [0.9, 1]}})"), HasSubstr("optimiser.betas"));
  EXPECT_THAT(error(R"({"optimiser": {"betas": [0.9]}})"), HasSubstr("two numbers"));
  EXPECT_THAT(error(R"({"schedule": "cosin"})"), HasSubstr("constant, step, cosine, linear"));
  EXPECT_THAT(error(R"({"schedule": "step"})"), HasSubstr("schedule.milestones"));
  EXPECT_THAT(error(R"({"schedule": {"milestones": [2, 1]}})"), HasSubstr("ascending"));
  EXPECT_THAT(error(R"({"accumulate": 0})"), HasSubstr("train.accumulate"));
  EXPECT_THAT(error(R"({"ema": 1})"), HasSubstr("train.ema"));
  EXPECT_THAT(error(R"({"label_smoothing": 2})"), HasSubstr("train.label_smoothing"));
  EXPECT_THAT(error(R"({"resume": "auto"})"), HasSubstr("work_dir"));
  EXPECT_THAT(error(R"({"tensorboard": true})"), HasSubstr("train.tensorboard"));
}

TEST(Device, NamesWhatIsMissing) {
  EXPECT_TRUE(find_device("cpu").is_cpu());
  EXPECT_THAT(message_of([] { find_device("gpu"); }), HasSubstr("cpu, cuda or cuda:N"));
  EXPECT_THAT(message_of([] { find_device("meta"); }), HasSubstr("does not run on 'meta'"));
  EXPECT_THAT(message_of([] { find_device("cuda:99"); }), HasSubstr("device"));
}

TEST(Priority, IsANumberOrAName) {
  EXPECT_EQ(read_priority("LOWEST", "p"), 100);
  EXPECT_EQ(read_priority("NORMAL", "p"), 50);
  EXPECT_EQ(read_priority(7, "p"), 7);
  EXPECT_THAT(message_of([] { read_priority("LOWER", "hooks.priority"); }),
              HasSubstr("hooks.priority"));
  EXPECT_THAT(message_of([] { read_priority(101, "hooks.priority"); }),
              HasSubstr("hooks.priority"));
}

TEST(Mixup, MixesImagesAndKeepsBothLabels) {
  const Batch batch{torch::rand({6, 1, 2, 2}), torch::arange(6)};
  const MixedBatch mixed_batch = mixed(batch, 0.5, 4);
  EXPECT_GT(mixed_batch.weight, 0);
  EXPECT_LT(mixed_batch.weight, 1);
  const at::Tensor others = batch.images.index_select(0, mixed_batch.other_labels);
  EXPECT_TRUE(mixed_batch.batch.images.allclose(batch.images * mixed_batch.weight +
                                                others * (1 - mixed_batch.weight)));
  EXPECT_TRUE(mixed_batch.batch.labels.equal(batch.labels));
  EXPECT_TRUE(mixed(batch, 0.5, 4).batch.images.equal(mixed_batch.batch.images));
  EXPECT_EQ(mixed(batch, 0, 4).weight, 1);
}

TEST(CrossEntropy, SmoothsLabelsAndLeavesOutWhatIsIgnored) {
  const at::Tensor logits = torch::tensor({{1.0, 2.0, 0.5}, {0.0, 0.0, 3.0}});
  const at::Tensor log_p = logits.log_softmax(1);
  const at::Tensor labels = torch::tensor({1, 0}, torch::kLong);
  const double plain = -(log_p[0][1] + log_p[1][0]).item<double>() / 2;
  EXPECT_NEAR(cross_entropy({logits}, {{}, labels}).item<double>(), plain, 1e-6);
  const double spread = -log_p.mean().item<double>();
  EXPECT_NEAR(cross_entropy({logits}, {{}, labels}, 0.1).item<double>(), 0.9 * plain + 0.1 * spread,
              1e-6);
  const at::Tensor maps = torch::tensor({1, 255}, torch::kLong).view({1, 1, 2});
  const at::Tensor map_logits = logits.t().reshape({1, 3, 1, 2});
  EXPECT_NEAR(cross_entropy({map_logits}, {{}, maps}).item<double>(), -log_p[0][1].item<double>(),
              1e-6);
}

TEST(CrossEntropy, SaysWhichLabelDoesNotFit) {
  const at::Tensor logits = torch::zeros({2, 3});
  const auto error = [&](const at::Tensor& labels) {
    return message_of([&] { cross_entropy({logits}, {{}, labels}); });
  };
  EXPECT_THAT(error(torch::tensor({0, 3}, torch::kLong)), HasSubstr("label 3"));
  EXPECT_THAT(error(torch::tensor({-1, 0}, torch::kLong)), HasSubstr("label -1"));
  EXPECT_THAT(error(torch::tensor({0, 1, 2}, torch::kLong)), HasSubstr("(3)"));
  EXPECT_THAT(error(torch::zeros({2, 4, 4}, torch::kLong)), HasSubstr("(2, 4, 4)"));
}

/// A network that answers what a batch of images holds.
struct Oracle : torch::nn::Module {
  at::Tensor forward(const at::Tensor& images) { return images; }
};

BatchSource source_of(std::vector<Batch> batches) {
  auto next = std::make_shared<size_t>(0);
  const auto count = static_cast<int64_t>(batches.size());
  return {count, [next](int64_t, int64_t batch) { *next = static_cast<size_t>(batch); },
          [next, all = std::move(batches)]() -> std::optional<Batch> {
            if (*next >= all.size()) return std::nullopt;
            return all[(*next)++];
          }};
}

TEST(Evaluate, CountsImagesThatAreRight) {
  const at::Tensor logits = torch::tensor({{3.0, 0.0}, {0.0, 1.0}, {2.0, 1.0}});
  const auto network = trainable(std::make_shared<Oracle>());
  const Evaluation evaluation =
      evaluate(*network,
               source_of({{logits, torch::tensor({0, 1, 1}, torch::kLong)},
                          {logits.narrow(0, 0, 1), torch::tensor({1}, torch::kLong)}}),
               {.quiet = true});
  EXPECT_EQ(evaluation.images, 4);
  EXPECT_DOUBLE_EQ(evaluation.accuracy, 0.5);
  EXPECT_FALSE(evaluation.mean_iou.has_value());
  const at::Tensor log_p = logits.log_softmax(1);
  EXPECT_NEAR(evaluation.loss,
              -(log_p[0][0] + log_p[1][1] + log_p[2][1] + log_p[0][1]).item<double>() / 4, 1e-6);
  EXPECT_TRUE(network->is_training());
}

TEST(Evaluate, CountsPixelsOfLabelMaps) {
  // Predicted 0 0 1 1 | 2 2 0 1, labelled 0 1 1 255 | 2 0 0 1: classes 0, 1, 2 have 2/4, 2/3, 1/2.
  const at::Tensor predicted = torch::tensor({0, 0, 1, 1, 2, 2, 0, 1}, torch::kLong);
  const at::Tensor labels = torch::tensor({0, 1, 1, 255, 2, 0, 0, 1}, torch::kLong);
  const at::Tensor logits =
      torch::one_hot(predicted, 4).to(torch::kFloat).view({2, 2, 2, 4}).permute({0, 3, 1, 2});
  const auto network = trainable(std::make_shared<Oracle>());
  const Evaluation evaluation =
      evaluate(*network, source_of({{logits, labels.view({2, 2, 2})}}), {.quiet = true});
  EXPECT_EQ(evaluation.images, 2);
  EXPECT_DOUBLE_EQ(evaluation.accuracy, 5.0 / 7);
  ASSERT_TRUE(evaluation.mean_iou.has_value());
  EXPECT_DOUBLE_EQ(*evaluation.mean_iou, (2.0 / 4 + 2.0 / 3 + 1.0 / 2) / 3);
  EXPECT_EQ(evaluation.iou.back(), -1);
  EXPECT_EQ(evaluation.score(), *evaluation.mean_iou);
}

TEST(Evaluate, EnlargesSmallerLogits) {
  const at::Tensor logits = torch::zeros({1, 2, 2, 2});
  logits[0][1].fill_(1);
  const auto network = trainable(std::make_shared<Oracle>());
  const Evaluation evaluation = evaluate(
      *network, source_of({{logits, torch::ones({1, 8, 8}, torch::kLong)}}), {.quiet = true});
  EXPECT_EQ(evaluation.accuracy, 1);
}

TEST(Checkpoint, HoldsWhatWasPutIn) {
  const Folder folder;
  Checkpoint checkpoint;
  checkpoint.facts = {{"step", 7}, {"loss", 0.1}};
  checkpoint.add("parameter.", {{"a", torch::rand({2, 3})}, {"b", torch::tensor(3)}});
  save_checkpoint(checkpoint, folder / "a.ckpt");
  const Checkpoint read = load_checkpoint(folder / "a.ckpt");
  EXPECT_EQ(read.facts.at("loss"), 0.1);
  EXPECT_EQ(read.tensors.size(), 2u);
  EXPECT_TRUE(read.under("parameter.").at("a").equal(checkpoint.tensors.at("parameter.a")));
  EXPECT_TRUE(read.under("buffer.").empty());
}

TEST(Checkpoint, RefusesOtherFilesByName) {
  const Folder folder;
  Checkpoint checkpoint;
  checkpoint.add("", {{"a", torch::rand({200})}});
  save_checkpoint(checkpoint, folder / "whole.ckpt");
  const std::string bytes = read_file(folder / "whole.ckpt");
  write_file(folder / "half.ckpt", bytes.substr(0, bytes.size() / 2));
  write_file(folder / "text.ckpt", "hello");
  std::string newer = bytes;
  newer.replace(newer.find("\"version\": 1"), 12, "\"version\": 2");
  write_file(folder / "newer.ckpt", newer);
  const auto error = [&](const std::string& file) {
    return message_of([&] { load_checkpoint(folder / file); });
  };
  EXPECT_THAT(error("half.ckpt"), HasSubstr("half.ckpt"));
  EXPECT_THAT(error("half.ckpt"), HasSubstr("no checkpoint, or not all of one"));
  EXPECT_THAT(error("text.ckpt"), HasSubstr("text.ckpt"));
  EXPECT_THAT(error("none.ckpt"), HasSubstr("none.ckpt"));
  EXPECT_THAT(error("newer.ckpt"), HasSubstr("version 2"));
  EXPECT_EQ(error("whole.ckpt"), "");
}

/// Two steps on a cut network after one at full width: a fresh optimiser with sliced memory must
/// do the same.
template <typename Optimiser, typename Options>
void check_cut(const Options& options) {
  const auto parameter = [](const at::Tensor& value) {
    return value.detach().clone().set_requires_grad(true);
  };
  const auto step = [](torch::optim::Optimizer& optimiser, const at::Tensor& weight) {
    optimiser.zero_grad();
    (weight * weight * weight).sum().backward();
    optimiser.step();
  };
  const auto cut = [](const at::Tensor& tensor) { return tensor.narrow(0, 1, 2).clone(); };
  const at::Tensor wide = parameter(torch::rand({4, 3}) + 0.5);
  Optimiser optimiser(std::vector<at::Tensor>{wide}, options);
  step(optimiser, wide);
  const auto state = optimiser_state(optimiser, {{"w", wide}});
  ASSERT_FALSE(state.empty());

  const at::Tensor narrow = parameter(cut(wide)), expected = parameter(cut(wide));
  Optimiser fresh(std::vector<at::Tensor>{expected}, options);
  std::map<std::string, at::Tensor> sliced;
  for (const auto& [key, value] : state) sliced[key] = value.dim() > 0 ? cut(value) : value;
  set_optimiser_state(fresh, {{"w", expected}}, sliced);
  replace_parameters(optimiser, {{"w", wide}}, {{"w", narrow}},
                     [&](const std::string&, const at::Tensor& tensor) { return cut(tensor); });
  for (int i = 0; i < 2; ++i) {
    step(optimiser, narrow);
    step(fresh, expected);
  }
  EXPECT_TRUE(narrow.equal(expected));
  EXPECT_FALSE(narrow.equal(cut(wide)));
}

TEST(Optimiser, CutsItsMemoryWithItsParameters) {
  check_cut<torch::optim::SGD>(torch::optim::SGDOptions(0.01).momentum(0.9).nesterov(true));
  check_cut<torch::optim::Adam>(torch::optim::AdamOptions(0.01));
  check_cut<torch::optim::Adam>(torch::optim::AdamOptions(0.01).amsgrad(true));
  check_cut<torch::optim::AdamW>(torch::optim::AdamWOptions(0.01).weight_decay(0.1));
  check_cut<torch::optim::RMSprop>(torch::optim::RMSpropOptions(0.01).momentum(0.9));
  check_cut<torch::optim::Adagrad>(torch::optim::AdagradOptions(0.01));
}

TEST(Optimiser, NamesWhatDoesNotFit) {
  const at::Tensor weight = torch::rand({2}).set_requires_grad(true);
  const auto sgd = make_optimiser({}, {{"w", weight}});
  const auto error = [&](const std::string& key, const at::Tensor& value) {
    return message_of([&] { set_optimiser_state(*sgd, {{"w", weight}}, {{key, value}}); });
  };
  EXPECT_THAT(error("v.momentum_buffer", torch::rand({2})), HasSubstr("v.momentum_buffer"));
  EXPECT_THAT(error("w.exp_avg", torch::rand({2})), HasSubstr("w.exp_avg"));
  EXPECT_THAT(error("w.momentum_buffer", torch::rand({3})), HasSubstr("another shape"));
  torch::optim::LBFGS other({weight}, torch::optim::LBFGSOptions(0.1));
  EXPECT_THAT(message_of([&] {
                set_optimiser_state(other, {{"w", weight}}, {{"w.step", torch::tensor(1)}});
              }),
              HasSubstr("LBFGS"));
  EXPECT_THAT(message_of([] {
                make_optimiser({}, {{"w", torch::rand({2})}});
              }),
              HasSubstr("no parameter that requires a gradient"));
}

TEST(MovingAverage, AveragesWeightsAndCopiesCounters) {
  auto network = std::make_shared<SmallNetwork>();
  const auto handle = trainable(network);
  MovingAverage average(*handle, 0.9);
  const at::Tensor before = network->head->bias.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    network->head->bias.add_(1);
    network->bn1->num_batches_tracked.add_(5);
  }
  average.update(*handle, 1000);
  EXPECT_TRUE(average.tensors().at("head.bias").allclose(before + 0.1));
  EXPECT_EQ(average.tensors().at("bn1.num_batches_tracked").item<int64_t>(), 5);
  average.exchange(*handle);
  EXPECT_TRUE(network->head->bias.allclose(before + 0.1));
  average.exchange(*handle);
  EXPECT_TRUE(network->head->bias.allclose(before + 1));
}

}  // namespace
}  // namespace cpd::testing
