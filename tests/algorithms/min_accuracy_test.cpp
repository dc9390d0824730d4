#include <cpd/algorithms/iterative.h>
#include <cpd/algorithms/one_shot.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/sgd.h>

#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

/// The accuracy that is left when this share of the MACs is kept, as the options prune.
double accuracy_at(OneShotOptions options, double macs, Loader& validation) {
  options.min_accuracy = 0;
  options.budget = {.macs = macs};
  OneShot algorithm(learnt_model(), options);
  algorithm.run();
  return evaluate(*trainable(algorithm.architecture()), validation, {.quiet = true}).accuracy;
}

TEST(MinAccuracy, LetsOneShotGoAsFarAsItIsLeft) {
  Loader validation = loader_of(96, 2, false);
  OneShotOptions options{.mutator = {.importance = "l1"}, .min_accuracy = 0.9};
  OneShot algorithm(learnt_model(), options);
  const Report report = algorithm.run({}, validation);
  const double left =
      evaluate(*trainable(algorithm.architecture()), validation, {.quiet = true}).accuracy;
  EXPECT_EQ(report.accuracy.at("pruned"), left);
  EXPECT_GE(left, 0.9);
  EXPECT_GE(report.accuracy.at("dense"), left);
  EXPECT_EQ(report.stopped_by, "min_accuracy");
  EXPECT_TRUE(report.budgets.empty());
  EXPECT_THAT(report.notes.back(), HasSubstr("as far as leaves an accuracy of 90.0 %"));
  const auto kept =
      static_cast<double>(report.after.macs) / static_cast<double>(report.before.macs);
  EXPECT_LT(kept, 0.95);
  // A little further it would not have been left: within two of the steps that are tried.
  EXPECT_LT(accuracy_at(options, kept - 0.016, validation), 0.9);
}

TEST(MinAccuracy, StopsOneShotAtItsBudget) {
  Loader validation = loader_of(96, 2, false);
  OneShotOptions options{.mutator = {.importance = "l1"}, .min_accuracy = 0.1};
  options.budget.macs = 0.8;
  OneShot algorithm(learnt_model(), options);
  const Report report = algorithm.run({}, validation);
  EXPECT_EQ(report.stopped_by, "macs");
  EXPECT_EQ(report.budgets.at("macs").asked, "0.8");
}

IterativeOptions iterative_options(double least) {
  IterativeOptions options;
  options.mutator.importance = "random";
  options.budget.macs = 0.1;
  options.interval = 2;
  options.prunings = 6;
  options.schedule = "linear";
  options.min_accuracy = least;
  options.train = {.epochs = 3, .optimiser = {.lr = 0.02}, .seed = 5};
  return options;
}

TEST(MinAccuracy, PutsPruningsOff) {
  Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
  Iterative stopped(learnt_model(), iterative_options(0.95));
  const Report report = stopped.run({training, validation}, {.quiet = true});
  EXPECT_GE(report.accuracy.at("pruned"), 0.9);
  EXPECT_EQ(report.stopped_by, "min_accuracy");
  EXPECT_TRUE(report.budgets.empty());
  EXPECT_THAT(report.notes.back(), HasSubstr("put off"));
  EXPECT_GT(report.after.macs, 0.1 * static_cast<double>(report.before.macs));
  EXPECT_LT(report.after.macs, report.before.macs);

  Iterative whole(learnt_model(), iterative_options(0.01));
  EXPECT_EQ(whole.run({training, validation}, {.quiet = true}).stopped_by, "macs");
}

TEST(MinAccuracy, IsRefusedWithoutDataOrWhereItIsNotThere) {
  Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
  const OneShotOptions options{.mutator = {.importance = "l1"}, .min_accuracy = 0.9};
  EXPECT_THAT(message_of([&] { OneShot(learnt_model(), options).run(); }),
              HasSubstr("min_accuracy: there are no images to measure the accuracy on"));
  EXPECT_THAT(message_of([&] {
                Iterative(learnt_model(), iterative_options(0.9)).run({training}, {.quiet = true});
              }),
              HasSubstr("min_accuracy: there are no images to measure the accuracy on"));
  const auto untrained = [] {
    const auto network = std::make_shared<SmallNetwork>();
    network->eval();
    return trace_model(network, {torch::rand({2, 1, 8, 8})});
  };
  EXPECT_THAT(message_of([&] { OneShot(untrained(), options).run({}, validation); }),
              HasSubstr("the accuracy is only"));
  EXPECT_THAT(message_of([&] {
                OneShotOptions wrong = options;
                wrong.min_accuracy = 90;
                wrong.verify();
              }),
              HasSubstr("min_accuracy"));
}

}  // namespace
}  // namespace cpd::testing
