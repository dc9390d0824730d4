#include <cpd/compensation/least_squares.h>
#include <cpd/core/error.h>
#include <dynamic_ops/fixture.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace cpd::testing {
namespace {

struct Rows {
  at::Tensor inputs, targets, old;
};

Rows random_rows(int64_t groups, int64_t rows, int64_t columns, int64_t outputs) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto draw = [&](at::IntArrayRef sizes) {
    return torch::randn(sizes, generator, torch::kDouble);
  };
  return {draw({groups, rows, columns}) + 0.5, draw({groups, rows, outputs}),
          draw({groups, outputs, columns})};
}

/// The same problem as one tall system, by QR: rows of the ridge below those of the data, a column
/// of ones for the constant. (groups, outputs, columns, and the constant last)
at::Tensor solved_directly(const Rows& data, double ridge, bool constant) {
  const int64_t groups = data.inputs.size(0), rows = data.inputs.size(1);
  const at::Tensor ones = torch::ones({groups, rows, 1}, torch::kDouble);
  const at::Tensor x = constant ? torch::cat({data.inputs, ones}, 2) : data.inputs;
  const at::Tensor strength =
      (data.inputs.square().mean({1, 2}) * ridge * rows).sqrt().view({-1, 1, 1});
  const at::Tensor below = torch::eye(data.inputs.size(2), x.size(2), torch::kDouble) * strength;
  const at::Tensor left = torch::cat({x, below}, 1);
  const at::Tensor right = torch::cat({data.targets, data.old.transpose(1, 2) * strength}, 1);
  const auto [q, r] = torch::linalg_qr(left);
  return torch::linalg_solve(r, q.transpose(1, 2).matmul(right)).transpose(1, 2);
}

Fit fitted(const Rows& data, double ridge, bool constant, int64_t expected_rows, int64_t piece) {
  LeastSquares squares(data.inputs.size(2), expected_rows);
  for (int64_t at = 0; at < data.inputs.size(1); at += piece) {
    const int64_t count = std::min(piece, data.inputs.size(1) - at);
    squares.add(data.inputs.narrow(1, at, count), data.targets.narrow(1, at, count));
  }
  return squares.solve(data.old, ridge, constant);
}

class LeastSquaresTest : public ::testing::TestWithParam<std::tuple<int64_t, bool, double>> {};

TEST_P(LeastSquaresTest, FindsWhatQrFinds) {
  const auto [rows, constant, ridge] = GetParam();
  const Rows data = random_rows(3, rows, 12, 5);
  const at::Tensor expected = solved_directly(data, ridge, constant);
  const Fit fit = fitted(data, ridge, constant, rows, 7);
  EXPECT_LT(error_of(fit.weight, expected.narrow(2, 0, 12)), 1e-10);
  ASSERT_EQ(fit.constant.defined(), constant);
  if (constant) {
    EXPECT_LT(error_of(fit.constant, expected.select(2, 12)), 1e-10);
  }
}

// Fewer rows than columns are kept as rows, more as Gram matrices.
INSTANTIATE_TEST_SUITE_P(Forms, LeastSquaresTest,
                         ::testing::Combine(::testing::Values(8, 40), ::testing::Bool(),
                                            ::testing::Values(1e-3, 0.5)));

TEST(LeastSquares, HasTwoFormsOfOneSolution) {
  const Rows data = random_rows(2, 30, 20, 4);
  const Fit rows = fitted(data, 1e-2, true, 10, 30);
  const Fit columns = fitted(data, 1e-2, true, 30, 4);
  EXPECT_LT(error_of(rows.weight, columns.weight), 1e-10);
  EXPECT_LT(error_of(rows.constant, columns.constant), 1e-10);
}

TEST(LeastSquares, StaysAtTheOldWeightsWhereInputsSayNothing) {
  Rows data = random_rows(1, 40, 6, 3);
  data.inputs.select(2, 4).zero_();
  for (const double ridge : {0.0, 1e-3}) {
    const Fit fit = fitted(data, ridge, true, 40, 40);
    EXPECT_LT(error_of(fit.weight.select(2, 4), data.old.select(2, 4)), 1e-6);
  }
}

TEST(LeastSquares, FindsTheBestConstantForGivenWeights) {
  const Rows data = random_rows(2, 30, 4, 3);
  LeastSquares squares(4, 30);
  squares.add(data.inputs, data.targets);
  const at::Tensor expected = (data.targets - data.inputs.matmul(data.old.transpose(1, 2))).mean(1);
  EXPECT_LT(error_of(squares.best_constant(data.old), expected), 1e-12);
}

TEST(LeastSquares, RefusesToFitNothing) {
  EXPECT_THROW(LeastSquares(4, 10).solve(torch::zeros({1, 2, 4}), 1e-3, true), Error);
}

}  // namespace
}  // namespace cpd::testing
