#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/distill/losses.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace cpd {
namespace {

using ::testing::HasSubstr;
using Numbers = std::vector<double>;

at::Tensor random(std::vector<int64_t> shape, uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

at::Tensor rows(std::vector<Numbers> values) {
  Numbers flat;
  for (const auto& row : values) flat.insert(flat.end(), row.begin(), row.end());
  return at::tensor(flat, at::kDouble)
      .view({static_cast<int64_t>(values.size()), static_cast<int64_t>(values.front().size())});
}

double value(const at::Tensor& loss) { return loss.item<double>(); }

/// Numbers along the last dimension of a matrix.
std::vector<Numbers> as_rows(const at::Tensor& matrix) {
  std::vector<Numbers> result;
  for (int64_t i = 0; i < matrix.size(0); ++i) {
    result.emplace_back();
    for (int64_t j = 0; j < matrix.size(1); ++j)
      result.back().push_back(matrix[i][j].item<double>());
  }
  return result;
}

Numbers softened(const Numbers& logits, double temperature) {
  Numbers result;
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit / temperature);
  for (const double logit : logits) result.push_back(std::exp(logit / temperature) / sum);
  return result;
}

double divergence(const Numbers& p, const Numbers& q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] * std::log(p[i] / q[i]);
  return sum;
}

double correlation(const Numbers& a, const Numbers& b) {
  const auto count = static_cast<double>(a.size());
  double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sa += a[i];
    sb += b[i];
    saa += a[i] * a[i];
    sbb += b[i] * b[i];
    sab += a[i] * b[i];
  }
  return (count * sab - sa * sb) / std::sqrt((count * saa - sa * sa) * (count * sbb - sb * sb));
}

Numbers column(const std::vector<Numbers>& matrix, size_t j) {
  Numbers result;
  for (const auto& row : matrix) result.push_back(row[j]);
  return result;
}

TEST(KlLoss, IsThatOfTheSoftenedProbabilitiesTimesTheSquaredTemperature) {
  const at::Tensor student = rows({{0, 0}});
  const at::Tensor teacher = rows({{std::log(3.0), 0}});
  // 3/4 log(3/2) + 1/4 log(1/2)
  EXPECT_NEAR(value(kl_loss(student, teacher, 1)), 0.130812, 1e-6);
  // Probabilities sqrt(3) : 1, times 4.
  EXPECT_NEAR(value(kl_loss(student, teacher, 2)), 0.145362, 1e-5);
}

TEST(KlLoss, IsTheMeanOverSamplesAndPositions) {
  const at::Tensor student = random({2, 4, 3, 2}, 1);
  const at::Tensor teacher = random({2, 4, 3, 2}, 2);
  const auto q = as_rows(student.permute({0, 2, 3, 1}).reshape({12, 4}));
  const auto p = as_rows(teacher.permute({0, 2, 3, 1}).reshape({12, 4}));
  double expected = 0;
  for (size_t i = 0; i < 12; ++i) expected += divergence(softened(p[i], 3), softened(q[i], 3));
  EXPECT_NEAR(value(kl_loss(student, teacher, 3)), 9 * expected / 12, 1e-12);
}

TEST(KlLoss, HasGradientsOfOneSizeAtHighTemperatures) {
  // For high temperatures the gradient tends to (student - teacher) / classes, for logits of mean
  // 0.
  const at::Tensor student = rows({{0.5, -0.5}}).set_requires_grad(true);
  const at::Tensor teacher = rows({{1.5, -1.5}});
  for (const double temperature : {50.0, 500.0}) {
    student.mutable_grad() = at::Tensor();
    kl_loss(student, teacher, temperature).backward();
    EXPECT_NEAR(student.grad()[0][0].item<double>(), -0.5, 1e-3);
  }
}

TEST(DistLoss, IsWhatCorrelationsLackOfOne) {
  const at::Tensor student = random({5, 4}, 3);
  const at::Tensor teacher = random({5, 4}, 4);
  std::vector<Numbers> q, p;
  for (const auto& row : as_rows(student)) q.push_back(softened(row, 2));
  for (const auto& row : as_rows(teacher)) p.push_back(softened(row, 2));
  double between = 0, within = 0;
  for (size_t i = 0; i < 5; ++i) between += 1 - correlation(q[i], p[i]);
  for (size_t j = 0; j < 4; ++j) within += 1 - correlation(column(q, j), column(p, j));
  const double expected = 4 * (0.5 * between / 5 + 3 * within / 4);
  EXPECT_NEAR(value(dist_loss(student, teacher, 2, 0.5, 3)), expected, 1e-9);
}

TEST(DistLoss, IsZeroForTheSameRankingInOtherNumbers) {
  // Probabilities (0.2, 0.3, 0.5) and their mean with (1/3, 1/3, 1/3): correlation 1.
  const at::Tensor teacher = rows({{0.2, 0.3, 0.5}, {0.6, 0.25, 0.15}}).log();
  const at::Tensor student = (teacher.exp() * 0.5 + 0.5 / 3).log();
  EXPECT_NEAR(value(dist_loss(student, teacher)), 0, 1e-7);
  EXPECT_GT(value(kl_loss(student, teacher, 1)), 0.01);
}

TEST(DistLoss, TakesPositionsForSamples) {
  const at::Tensor student = random({2, 3, 4, 2}, 5);
  const at::Tensor teacher = random({2, 3, 4, 2}, 6);
  const auto flat = [](const at::Tensor& x) { return x.permute({0, 2, 3, 1}).reshape({16, 3}); };
  EXPECT_NEAR(value(dist_loss(student, teacher)), value(dist_loss(flat(student), flat(teacher))),
              1e-12);
}

TEST(DistLoss, IsFiniteForASingleSample) {
  const at::Tensor student = random({1, 3}, 5).set_requires_grad(true);
  const at::Tensor loss = dist_loss(student, random({1, 3}, 6));
  loss.backward();
  EXPECT_TRUE(std::isfinite(value(loss)));
  EXPECT_TRUE(at::isfinite(student.grad()).all().item<bool>());
}

TEST(HardLabelLoss, IsCrossEntropyWithTheTeachersClass) {
  const at::Tensor teacher = rows({{0, 9, 1}, {2, 1, 0}});
  const at::Tensor student = rows({{1, 2, 3}, {0.5, 0, 0}});
  const double first = std::log(std::exp(1) + std::exp(2) + std::exp(3)) - 2;
  const double second = std::log(std::exp(0.5) + 2) - 0.5;
  EXPECT_NEAR(value(hard_label_loss(student, teacher)), (first + second) / 2, 1e-12);
}

TEST(HardLabelLoss, LabelsEveryPosition) {
  const at::Tensor teacher = random({2, 3, 2, 2}, 7);
  const at::Tensor student = random({2, 3, 2, 2}, 8);
  const auto flat = [](const at::Tensor& x) { return x.permute({0, 2, 3, 1}).reshape({8, 3}); };
  EXPECT_NEAR(value(hard_label_loss(student, teacher)),
              value(hard_label_loss(flat(student), flat(teacher))), 1e-12);
}

TEST(ChannelWiseLoss, ComparesWhereEachChannelIsActive) {
  const at::Tensor student = random({2, 3, 2, 4}, 9);
  const at::Tensor teacher = random({2, 3, 2, 4}, 10);
  const auto q = as_rows(student.reshape({6, 8}));
  const auto p = as_rows(teacher.reshape({6, 8}));
  double expected = 0;
  for (size_t i = 0; i < 6; ++i) expected += divergence(softened(p[i], 4), softened(q[i], 4));
  EXPECT_NEAR(value(channel_wise_loss(student, teacher, 4)), 16 * expected / 6, 1e-12);
  // What is added to all of a channel makes no difference.
  const at::Tensor shifted = student + at::arange(3, at::kDouble).view({1, 3, 1, 1});
  EXPECT_NEAR(value(channel_wise_loss(shifted, teacher, 4)), 16 * expected / 6, 1e-12);
}

TEST(FeatureLoss, IsTheMeanSquare) {
  EXPECT_NEAR(value(feature_loss(rows({{1, 2}, {3, 4}}), rows({{1, 0}, {0, 5}}))), 14.0 / 4, 1e-12);
}

struct Loss {
  const char* name;
  std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> of;
  std::vector<int64_t> shape;
};

std::ostream& operator<<(std::ostream& out, const Loss& loss) { return out << loss.name; }

class EveryLoss : public ::testing::TestWithParam<Loss> {};

TEST_P(EveryLoss, HasTheGradientOfFiniteDifferences) {
  const Loss& loss = GetParam();
  const at::Tensor teacher = random(loss.shape, 21);
  const at::Tensor student = random(loss.shape, 22).set_requires_grad(true);
  loss.of(student, teacher).backward();
  const at::Tensor gradient = student.grad().flatten();
  constexpr double kStep = 1e-5;
  for (int64_t i = 0; i < gradient.numel(); ++i) {
    const at::Tensor step = at::zeros({gradient.numel()}, at::kDouble);
    step[i] = kStep;
    const at::Tensor by = step.view(loss.shape);
    const double difference = (value(loss.of(student.detach() + by, teacher)) -
                               value(loss.of(student.detach() - by, teacher))) /
                              (2 * kStep);
    EXPECT_NEAR(gradient[i].item<double>(), difference, 1e-8) << "element " << i;
  }
}

TEST_P(EveryLoss, IsSmallestAtTheTeacher) {
  const Loss& loss = GetParam();
  const at::Tensor teacher = random(loss.shape, 23);
  const double best = value(loss.of(teacher, teacher));
  if (loss.name == std::string("hard")) {
    EXPECT_GT(best, 0);
  } else {
    EXPECT_NEAR(best, 0, 1e-9);
  }
  EXPECT_GT(value(loss.of(random(loss.shape, 24), teacher)), best);
}

TEST_P(EveryLoss, RefusesOtherShapes) {
  const Loss& loss = GetParam();
  std::vector<int64_t> wider = loss.shape;
  ++wider[1];
  try {
    loss.of(random(wider, 1), random(loss.shape, 1));
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("as the teacher's have"));
  }
}

std::vector<Loss> losses() {
  using T = const at::Tensor&;
  return {{"kl", [](T a, T b) { return kl_loss(a, b, 3); }, {4, 5}},
          {"kl_dense", [](T a, T b) { return kl_loss(a, b, 2); }, {2, 3, 2, 2}},
          {"dist", [](T a, T b) { return dist_loss(a, b, 2, 1, 0.5); }, {4, 5}},
          {"dist_dense", [](T a, T b) { return dist_loss(a, b); }, {2, 3, 2, 2}},
          {"hard", [](T a, T b) { return hard_label_loss(a, b); }, {4, 5}},
          {"cwd", [](T a, T b) { return channel_wise_loss(a, b, 2); }, {2, 3, 2, 2}},
          {"mse", [](T a, T b) { return feature_loss(a, b); }, {2, 3, 2}}};
}

INSTANTIATE_TEST_SUITE_P(Distill, EveryLoss, ::testing::ValuesIn(losses()),
                         [](const auto& loss) { return loss.param.name; });

TEST(ChannelWiseLoss, NeedsPositions) {
  EXPECT_THROW(channel_wise_loss(random({2, 3}, 1), random({2, 3}, 2)), Error);
}

}  // namespace
}  // namespace cpd
