#include <cpd/algorithms/one_shot.h>
#include <gmock/gmock.h>

#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CalibrationData images() { return {{{random_input(input({24, 1, 8, 8}), 9)}}}; }
const SensitivityOptions kQuiet{.keep = {0.5, 0.25}, .quiet = true};

TEST(SensitivityCurve, GoesOnStraightLinesAndNeverFalls) {
  const SensitivityCurve curve{{10, 6, 4, 2}, {0, 0.4, 0.3, 0.7}};
  std::vector<double> errors;
  for (const int64_t width : {10, 8, 6, 5, 4, 3, 2, 1, 0}) errors.push_back(curve.at(width));
  ASSERT_EQ(errors.size(), 9u);
  const std::vector<double> expected{0, 0.2, 0.4, 0.4, 0.4, 0.55, 0.7, 0.85, 1};
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_THAT(errors[i], DoubleNear(expected[i], 1e-12));
  EXPECT_EQ((SensitivityCurve{{5}, {0}}).at(2), 0);
  EXPECT_THAT(message_of([] {
                SensitivityCurve{{2, 4}, {0, 1}}.verify();
              }),
              HasSubstr("makes no sense"));
}

/// By hand: the readers' weights of the channels that go are zero.
TEST(SensitivityCurve, IsWhatTheOutputsAreOffBy) {
  const auto network = std::make_shared<SmallNetwork>();
  network->eval();
  ChannelMutator mutator(trace_model(network, {random_input(input({2, 1, 8, 8}), 3)}),
                         {.importance = "l1"});
  mutator.allocate({.ratio = 0.5});
  const Plan before = mutator.plan();
  const Sensitivity curves = measure_sensitivity(mutator, images(), kQuiet);
  EXPECT_EQ(mutator.plan(), before);
  ASSERT_EQ(curves.size(), mutator.mutable_units().size());

  const torch::NoGradGuard no_grad;
  const at::Tensor data = images().front().inputs.front();
  const at::Tensor whole = network->forward(data);
  const at::Tensor sizes = network->conv1->weight.abs().sum({1, 2, 3});
  const at::Tensor order = sizes.argsort();
  const at::Tensor weight = network->conv2->weight.clone();
  std::vector<double> expected{0};
  for (const int64_t removed : {4, 6}) {
    network->conv2->weight.index_fill_(1, order.narrow(0, 0, removed), 0);
    const at::Tensor off = network->forward(data) - whole;
    expected.push_back((off.square().sum() / whole.square().sum()).item<double>());
    network->conv2->weight.copy_(weight);
  }
  const auto first = std::find_if(curves.begin(), curves.end(), [](const auto& entry) {
    return entry.first.starts_with("conv1");
  });
  ASSERT_NE(first, curves.end());
  EXPECT_THAT(first->second.widths, ElementsAre(8, 4, 2));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(first->second.errors[i], expected[i], 1e-4 * expected.back());
  }
}

/// A unit that the outputs do not depend on goes first, whatever its scores say.
TEST(SensitivityCurve, DecidesTheWidths) {
  const auto widths_with = [](bool by_curves) {
    Model model = learnt_model();
    ChannelMutator mutator(std::move(model), {.normalise = false});
    std::vector<Scores> scores;
    Sensitivity curves;
    for (const auto& unit : mutator.units()) {
      const bool first = unit->name().starts_with("conv1");
      const auto channels = static_cast<size_t>(unit->num_channels());
      scores.push_back({std::vector<double>(channels, first ? 9.0 : 1.0)});
      if (!unit->is_mutable()) continue;
      curves[unit->name()] = {{unit->num_channels(), 1}, {0, first ? 0.0 : 5.0}};
    }
    mutator.set_scores(scores);
    const Allocator plain = "dynamic_programme";
    mutator.allocate({.channels = 0.7}, by_curves ? by_sensitivity(plain, curves) : plain);
    std::map<std::string, int64_t> widths;
    for (const auto* unit : mutator.mutable_units()) {
      widths[unit->name().substr(0, 5)] = unit->activated_channels();
    }
    return widths;
  };
  EXPECT_EQ(widths_with(false).at("conv1"), 8);
  EXPECT_EQ(widths_with(false).at("conv2"), 6);
  EXPECT_EQ(widths_with(true).at("conv1"), 2);
  EXPECT_EQ(widths_with(true).at("conv2"), 12);
}

TEST(SensitivityCurve, IsAPartOfOneShot) {
  OneShotOptions options;
  read_json(parse_json(R"({"budget": {"macs": 0.5}, "allocation": "greedy", "compensation": "refit",
                           "sensitivity": {"keep": [0.75, 0.5, 0.25], "samples": 16}})",
                       "test"),
            "", options);
  EXPECT_EQ(options.sensitivity->samples, 16);
  EXPECT_EQ(Json(options)["sensitivity"]["keep"].size(), 3u);
  options.sensitivity->quiet = options.compensation.quiet = true;
  OneShot algorithm(learnt_model(), options);
  const Report report = algorithm.run(images());
  EXPECT_LE(report.budgets.at("macs").reached, report.budgets.at("macs").limit);
  EXPECT_EQ(algorithm.sensitivity().size(), algorithm.mutator().mutable_units().size());
  EXPECT_EQ(report.seconds.count("sensitivity"), 1u);
  EXPECT_THAT(message_of([&] { OneShot(learnt_model(), options).run(); }), HasSubstr("need data"));
  EXPECT_THAT(message_of([] {
                OneShotOptions wrong;
                read_json(parse_json(R"({"sensitivity": {"keep": [1.5]}})", "test"), "", wrong);
              }),
              HasSubstr("sensitivity.keep"));
}

}  // namespace
}  // namespace cpd::testing
