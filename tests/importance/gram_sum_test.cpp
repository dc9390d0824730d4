#include <cpd/importance/gram_sum.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace cpd::testing {
namespace {

/// Rows (groups, rows, columns) with a mean of 300 standard deviations.
at::Tensor far_rows(int64_t groups, int64_t rows, int64_t columns) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{3});
  return torch::randn({groups, rows, columns}, generator, torch::kDouble) + 300;
}

double relative_error(const at::Tensor& value, const at::Tensor& expected) {
  return (value.sub(expected).norm() / expected.norm()).item<double>();
}

at::Tensor covariance(const at::Tensor& gram, const at::Tensor& rows) {
  const at::Tensor mean = rows.to(torch::kDouble).mean(1, true);
  return gram / rows.size(1) - mean.transpose(1, 2).bmm(mean);
}

class GramSums : public ::testing::TestWithParam<std::tuple<int64_t, int64_t>> {};

// 900 columns are multiplied in blocks.
TEST_P(GramSums, AreXTransposedX) {
  const auto [groups, columns] = GetParam();
  const at::Tensor rows = far_rows(groups, 70, columns);
  GramSum sum;
  for (const at::Tensor& piece : rows.split(32, 1)) sum.add(piece);
  EXPECT_LE(relative_error(sum.matrix(), rows.transpose(1, 2).bmm(rows)), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(, GramSums,
                         ::testing::Combine(::testing::Values(1, 3), ::testing::Values(5, 900)));

TEST(GramSum, LosesNoDigitsToALargeMean) {
  const at::Tensor rows = far_rows(2, 4000, 6).to(torch::kFloat);
  GramSum sum;
  for (const at::Tensor& piece : rows.split(1000, 1)) sum.add(piece);
  const at::Tensor wide = rows.to(torch::kDouble);
  const at::Tensor expected = covariance(wide.transpose(1, 2).bmm(wide), rows);
  EXPECT_LE(relative_error(covariance(sum.matrix(), rows), expected), 1e-5);
  const at::Tensor plain = rows.transpose(1, 2).bmm(rows).to(torch::kDouble);
  EXPECT_GT(relative_error(covariance(plain, rows), expected), 1e-3) << "nothing to lose here";
}

TEST(GramSum, KeepsItsSumWhenAsked) {
  const at::Tensor rows = far_rows(1, 9, 4);
  GramSum sum;
  EXPECT_TRUE(sum.empty());
  sum.add(rows);
  sum.matrix().zero_();
  sum.add(rows);
  EXPECT_LE(relative_error(sum.matrix(), rows.transpose(1, 2).bmm(rows) * 2), 1e-12);
}

}  // namespace
}  // namespace cpd::testing
