#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>
#include <cpd/core/error.h>
#include <cpd/importance/running_statistics.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace cpd::testing {
namespace {

struct Subject {
  Subject() {
    auto network = make_network(parse_network("zoo:resnet20:classes=5:size=16"), 1);
    randomise_statistics(*network, 2);
    network->eval();
    model = std::make_shared<const Model>(
        trace_model(network, {random_input(input({2, 3, 16, 16}), 3)}));
    combing = std::make_shared<const Combing>(comb(*model));
  }
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Combing> combing;
};

void expect_near(const Scores& a, const Scores& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].size(), b[i].size()) << what;
    const double scale = *std::max_element(
        b[i].begin(), b[i].end(), [](double x, double y) { return std::abs(x) < std::abs(y); });
    for (size_t c = 0; c < a[i].size(); ++c) {
      EXPECT_NEAR(a[i][c], b[i][c], 1e-4 * std::abs(scale)) << what;
    }
  }
}

TEST(RunningStatistics, AreThoseOfAPassOfTheirOwn) {
  const Subject subject;
  DynamicModel dynamic(subject.model, subject.combing);
  RunningStatistics running(*subject.model, *subject.combing);
  CalibrationData data;
  for (const uint64_t seed : {5, 6}) {
    const at::Tensor images = random_input(input({seed == 5 ? 4 : 3, 3, 16, 16}), seed);
    const at::Tensor labels = at::tensor({0, 3, 1, 4}, at::kLong).narrow(0, 0, images.size(0));
    data.push_back({{images}, labels});
    const auto outputs = dynamic.forward({images}, running.observer(images.size(0)));
    at::cross_entropy_loss(outputs.front(), labels).backward();
  }
  const Statistics expected = gather_statistics(*subject.model, *subject.combing, data);
  const Statistics gathered = running.statistics();
  EXPECT_EQ(gathered.samples, 7);
  EXPECT_GE(gathered.units.size(), 10u);
  EXPECT_EQ(gathered.units.size(), expected.units.size());
  for (const auto& [name, unit] : gathered.units) {
    expect_near(unit.gate, expected.units.at(name).gate, name);
    expect_near(unit.gate_abs, expected.units.at(name).gate_abs, name);
    expect_near(unit.gate_square, expected.units.at(name).gate_square, name);
  }
}

/// What the loss would lose if the weights that read a channel grew by a fraction of themselves: by
/// finite differences, summed over two steps with other weights in each.
TEST(RunningStatistics, KnowWhereTheWeightsMove) {
  const Subject subject;
  const at::NoGradGuard no_grad;
  DynamicModel dynamic(subject.model, subject.combing);
  RunningStatistics running(*subject.model, *subject.combing);
  const auto unit =
      std::find_if(subject.combing->groups.begin(), subject.combing->groups.end(),
                   [](const auto& group) { return group.name.starts_with("layer1.0.conv1_"); });
  ASSERT_NE(unit, subject.combing->groups.end());
  const at::Tensor& reader = subject.model->find("layer1.0.conv2.weight")->tensor;
  std::vector<double> expected(static_cast<size_t>(unit->of), 0.0);
  for (const uint64_t seed : {5, 6}) {
    reader.mul_(0.9);
    const at::Tensor images = random_input(input({4, 3, 16, 16}), seed);
    const auto loss = [&](const RunObserver& observer) {
      return dynamic.forward({images}, observer).front().square().mean();
    };
    {
      const at::AutoGradMode with_gradients(true);
      loss(running.observer(4)).backward();
    }
    for (int64_t c = 0; c < unit->of; ++c) {
      const at::Tensor column = reader.select(1, c);
      const at::Tensor before = column.clone();
      const auto loss_at = [&](double factor) {
        column.copy_(before.mul(factor));
        const double value = loss(nullptr).item<double>();
        column.copy_(before);
        return value;
      };
      // Of a mean over four samples: the sum over them.
      expected[static_cast<size_t>(c)] -= 4 * (loss_at(1.05) - loss_at(0.95)) / 0.1;
    }
  }
  const Statistics gathered = running.statistics();
  const ScoreContext context{*subject.model, *subject.combing, 0, &gathered};
  const Scores scores = score_movement(*unit, context);
  double largest = 0;
  for (const double score : expected) largest = std::max(largest, std::abs(score));
  for (size_t c = 0; c < expected.size(); ++c) {
    EXPECT_NEAR(scores.front()[c], expected[c], 0.02 * largest) << c;
  }
  EXPECT_LT(*std::min_element(expected.begin(), expected.end()), 0);
  EXPECT_GT(*std::max_element(expected.begin(), expected.end()), 0);
}

TEST(RunningStatistics, LeaveGradientsAsTheyAre) {
  const Subject subject;
  DynamicModel dynamic(subject.model, subject.combing);
  const at::Tensor images = random_input(input({4, 3, 16, 16}), 5);
  const auto gradients = [&](const RunObserver& observer) {
    std::vector<at::Tensor> result;
    for (const auto& [name, tensor] : dynamic.named_parameters()) tensor.mutable_grad().reset();
    dynamic.forward({images}, observer).front().square().mean().backward();
    for (const auto& [name, tensor] : dynamic.named_parameters()) result.push_back(tensor.grad());
    return result;
  };
  RunningStatistics running(*subject.model, *subject.combing);
  const auto plain = gradients(nullptr), watched = gradients(running.observer(4));
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(plain[i].allclose(watched[i], 1e-5, 1e-7));
}

TEST(RunningStatistics, GoOnFromACheckpoint) {
  const Subject subject;
  DynamicModel dynamic(subject.model, subject.combing);
  const auto pass = [&](RunningStatistics& running, uint64_t seed) {
    const at::Tensor images = random_input(input({2, 3, 16, 16}), seed);
    dynamic.forward({images}, running.observer(2)).front().square().mean().backward();
  };
  RunningStatistics whole(*subject.model, *subject.combing);
  pass(whole, 1);
  RunningStatistics resumed(*subject.model, *subject.combing);
  resumed.set_state(whole.state());
  pass(whole, 2);
  pass(resumed, 2);
  const Statistics a = whole.statistics(), b = resumed.statistics();
  EXPECT_EQ(a.samples, b.samples);
  for (const auto& [name, unit] : a.units)
    EXPECT_EQ(unit.gate_square, b.units.at(name).gate_square);
  auto state = whole.state();
  state.erase(state.begin());
  try {
    resumed.set_state(state);
    FAIL() << "took less than all sums";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("of another network"));
  }
}

}  // namespace
}  // namespace cpd::testing
