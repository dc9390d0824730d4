#include <cpd/importance/gram_sum.h>
#include <cpd/importance/structured_obs.h>
#include <dynamic_ops/fixture.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace cpd::testing {
namespace {

constexpr double kDamping = 1e-3;

/// A layer's weights and correlated inputs: `channels` channels of three columns each, and two
/// columns more that belong to none.
struct Layer {
  Layer(int64_t channels, int64_t outputs, uint64_t seed) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    const int64_t columns = 3 * channels + 2;
    const auto draw = [&](int64_t rows, int64_t width) {
      return torch::randn({rows, width}, generator, torch::kDouble);
    };
    inputs = draw(200, columns).mm(draw(columns, columns)) + 0.3;
    weight = draw(outputs, columns);
    moments = inputs.t().mm(inputs) / 200;
    for (int64_t column = 0; column < columns; ++column) {
      channel_of.push_back(column < 3 * channels ? column / 3 : -1);
    }
  }

  /// The least mean squared error of the outputs, the ridge included, when some channels' columns
  /// must be zero: one tall system solved by QR.
  double least_error(const std::vector<int64_t>& gone) const {
    std::vector<int64_t> in;
    for (size_t column = 0; column < channel_of.size(); ++column) {
      const bool out = std::find(gone.begin(), gone.end(), channel_of[column]) != gone.end();
      if (!out || channel_of[column] < 0) in.push_back(static_cast<int64_t>(column));
    }
    const double strength = std::sqrt(kDamping * moments.diagonal().mean().item<double>());
    const at::Tensor eye = torch::eye(weight.size(1), torch::kDouble) * strength;
    const at::Tensor all = torch::cat({inputs / std::sqrt(200.0), eye});
    const at::Tensor target = all.mm(weight.t());
    const at::Tensor kept = all.index_select(1, torch::tensor(in));
    const auto [q, r] = torch::linalg_qr(kept);
    const at::Tensor residual = target - q.mm(q.t().mm(target));
    return residual.square().sum().item<double>();
  }

  at::Tensor inputs, weight, moments;
  std::vector<int64_t> channel_of;
};

StructuredObs obs_of(const std::vector<Layer>& layers, int64_t channels) {
  StructuredObs obs(channels);
  for (const auto& layer : layers) {
    obs.add_layer(layer.weight, layer.moments, kDamping, layer.channel_of);
  }
  return obs;
}

double least_error(const std::vector<Layer>& layers, const std::vector<int64_t>& gone) {
  double error = 0;
  for (const auto& layer : layers) error += layer.least_error(gone);
  return error;
}

TEST(StructuredObs, LossesAreTheIncreaseOfTheLeastSquares) {
  const std::vector<Layer> layers{Layer(6, 4, 1), Layer(6, 7, 2)};
  const auto losses = obs_of(layers, 6).losses();
  for (int64_t channel = 0; channel < 6; ++channel) {
    const double expected = least_error(layers, {channel});
    EXPECT_NEAR(losses[static_cast<size_t>(channel)], expected, 1e-8 * expected);
  }
}

TEST(StructuredObs, RemovesTogetherAsOneAfterAnother) {
  const std::vector<Layer> layers{Layer(6, 4, 3), Layer(6, 5, 4)};
  StructuredObs together = obs_of(layers, 6), single = obs_of(layers, 6);
  const double at_once = together.remove({1, 4, 5});
  double sum = 0;
  for (int64_t channel : {4, 1, 5}) {
    const double alone = single.losses()[static_cast<size_t>(channel)];
    const double loss = single.remove({channel});
    EXPECT_NEAR(loss, alone, 1e-8 * alone);
    sum += loss;
  }
  EXPECT_NEAR(at_once, least_error(layers, {1, 4, 5}), 1e-8 * at_once);
  EXPECT_NEAR(sum, at_once, 1e-8 * at_once);
  for (size_t layer = 0; layer < 2; ++layer) {
    EXPECT_LT(error_of(single.weight(layer), together.weight(layer)), 1e-8);
    EXPECT_EQ(together.weight(layer).narrow(1, 3, 3).abs().max().item<double>(), 0);
  }
  EXPECT_TRUE(std::isinf(single.losses()[4]));
}

TEST(StructuredObs, LeavesWeightsThatFitBest) {
  const Layer layer(5, 3, 7);
  StructuredObs obs = obs_of({layer}, 5);
  obs.remove({0, 3});
  const at::Tensor weight = obs.weight(0);
  const double strength = kDamping * layer.moments.diagonal().mean().item<double>();
  const auto error = [&](const at::Tensor& w) {
    const at::Tensor change = w - layer.weight;
    return (change.mm(layer.moments) * change).sum().item<double>() +
           strength * change.square().sum().item<double>();
  };
  EXPECT_NEAR(error(weight), layer.least_error({0, 3}), 1e-8 * error(weight));
}

TEST(StructuredObs, RemovesGreedily) {
  const std::vector<Layer> layers{Layer(7, 4, 5)};
  const auto removals = remove_greedily(obs_of(layers, 7));
  ASSERT_EQ(removals.size(), 7);
  std::vector<int64_t> gone;
  double before = 0;
  for (const auto& removal : removals) {
    double best = std::numeric_limits<double>::infinity();
    int64_t cheapest = -1;
    for (int64_t channel = 0; channel < 7; ++channel) {
      if (std::find(gone.begin(), gone.end(), channel) != gone.end()) continue;
      auto more = gone;
      more.push_back(channel);
      const double error = least_error(layers, more);
      if (error < best) cheapest = channel;
      best = std::min(best, error);
    }
    EXPECT_EQ(removal.channel, cheapest);
    EXPECT_NEAR(removal.loss, best - before, 1e-7 * best);
    before = best;
    gone.push_back(cheapest);
  }
}

TEST(StructuredObs, RemovesSeveralOfManyAtATime) {
  const std::vector<Layer> layers{Layer(200, 8, 6)};
  const auto removals = remove_greedily(obs_of(layers, 200));
  ASSERT_EQ(removals.size(), 200);
  std::set<int64_t> channels;
  double sum = 0;
  for (const auto& removal : removals) {
    channels.insert(removal.channel);
    sum += removal.loss;
  }
  EXPECT_EQ(channels.size(), 200);
  std::vector<int64_t> all(200);
  std::iota(all.begin(), all.end(), int64_t{0});
  EXPECT_NEAR(sum, obs_of(layers, 200).remove(all), 1e-6 * sum);
}

TEST(StructuredObs, TakesDiagonals) {
  StructuredObs obs(3);
  const at::Tensor weight = torch::tensor({{1.0, 2.0, 3.0}, {0.0, 1.0, -1.0}}, torch::kDouble);
  obs.add_layer(weight, torch::tensor({1.0, 2.0, 0.5}, torch::kDouble), 0, {0, 1, 1});
  const auto losses = obs.losses();
  EXPECT_NEAR(losses[0], 1, 1e-12);
  EXPECT_NEAR(losses[1], 2 * 5 + 0.5 * 10, 1e-12);
  EXPECT_EQ(losses[2], 0);
  EXPECT_NEAR(obs.remove({0, 1}), 16, 1e-12);
}

TEST(StructuredObs, CostsNothingWhereInputsAreZero) {
  Layer layer(4, 3, 9);
  layer.moments.narrow(0, 3, 3).zero_();
  layer.moments.narrow(1, 3, 3).zero_();
  StructuredObs obs(4);
  obs.add_layer(layer.weight, layer.moments, 0, layer.channel_of);
  EXPECT_LT(obs.losses()[1], 1e-8 * obs.losses()[0]);
}

TEST(GramSum, IsWholeWhereOnlyBlocksAreMultiplied) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  for (const int64_t groups : {1, 2}) {
    const at::Tensor rows = torch::randn({groups, 40, 1000}, generator, torch::kDouble);
    GramSum sum;
    EXPECT_TRUE(sum.empty());
    sum.add(rows.narrow(1, 0, 25));
    sum.add(rows.narrow(1, 25, 15).to(torch::kFloat));
    EXPECT_LT(error_of(sum.matrix(), rows.transpose(1, 2).bmm(rows)), 1e-7);
  }
}

}  // namespace
}  // namespace cpd::testing
