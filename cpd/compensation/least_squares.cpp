#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/zeros.h>
#include <cpd/compensation/least_squares.h>
#include <cpd/core/error.h>

#include <algorithm>

namespace cpd {
namespace {

/// Solves for a symmetric matrix (groups, n, n) plus `ridge` (groups) on its diagonal. Inputs that
/// are always zero leave it singular without a ridge: the diagonal grows until it is not.
at::Tensor solve_symmetric(const at::Tensor& matrix, const at::Tensor& ridge,
                           const at::Tensor& right) {
  at::Tensor held = matrix.clone();
  at::Tensor diagonal = held.diagonal(0, 1, 2);
  diagonal.add_(ridge.unsqueeze(1));
  at::Tensor more = diagonal.mean(1, true).mul(1e-12).clamp_min(1e-30);
  for (int tries = 0; tries < 12; ++tries) {
    const auto [factor, info] = at::linalg_cholesky_ex(held);
    if (info.eq(0).all().item<bool>()) return at::cholesky_solve(right, factor);
    diagonal.add_(more);
    more = more.mul(10);
  }
  throw Error("a least-squares fit has no solution", {},
              "calibration data without infinite values");
}

}  // namespace

void LeastSquares::add(const at::Tensor& inputs, const at::Tensor& targets) {
  const int64_t groups = inputs.size(0), columns = inputs.size(2), outputs = targets.size(2);
  if (rows_ == 0) {
    const auto wide = inputs.options().dtype(at::kDouble);
    inputs_ = at::zeros({groups, 1, columns}, wide);
    targets_ = at::zeros({groups, 1, outputs}, wide);
    square_ = at::zeros({groups}, wide);
    if (!keeps_rows_) cross_ = at::zeros({groups, outputs, columns}, wide);
  }
  rows_ += inputs.size(1);
  inputs_.add_(inputs.sum(1, true, at::kDouble));
  targets_.add_(targets.sum(1, true, at::kDouble));
  square_.add_(inputs.square().sum({1, 2}, false, at::kDouble), 1.0 / static_cast<double>(columns));
  if (keeps_rows_) {
    input_rows_.push_back(inputs.to(at::kDouble));
    target_rows_.push_back(targets.to(at::kDouble));
    return;
  }
  gram_.add(inputs);
  cross_.add_(targets.transpose(1, 2).bmm(inputs.sub(gram_.shift())));
}

/// Sum of y x'.
at::Tensor LeastSquares::cross_about_zero() const {
  return at::baddbmm(cross_, targets_.transpose(1, 2), gram_.shift().to(at::kDouble));
}

Fit LeastSquares::solve(const at::Tensor& old_weight, double ridge, bool constant) const {
  if (rows_ == 0) throw Error("a least-squares fit has no rows", {}, "calibration data");
  const at::Tensor old = old_weight.detach().to(at::kDouble);
  Fit fit;
  fit.weight =
      old.add(keeps_rows_ ? by_rows(old, ridge, constant) : by_columns(old, ridge, constant));
  if (constant) fit.constant = best_constant(fit.weight);
  return fit;
}

at::Tensor LeastSquares::best_constant(const at::Tensor& weight) const {
  const at::Tensor made = at::bmm(inputs_, weight.to(at::kDouble).transpose(1, 2));
  return targets_.sub(made).div(static_cast<double>(rows_)).squeeze(1);
}

/// The change of the weight from the normal equations.
at::Tensor LeastSquares::by_columns(const at::Tensor& old, double ridge, bool constant) const {
  const auto count = static_cast<double>(rows_);
  at::Tensor gram = gram_.matrix().div(count), cross = cross_about_zero().div(count);
  if (constant) {
    const at::Tensor means = inputs_.div(count);
    gram = at::baddbmm(gram, means.transpose(1, 2), means, 1, -1);
    cross = at::baddbmm(cross, targets_.div(count).transpose(1, 2), means, 1, -1);
  }
  const at::Tensor residual = at::baddbmm(cross, old, gram, 1, -1);
  return solve_symmetric(gram, square_.div(count).mul(ridge), residual.transpose(1, 2))
      .transpose(1, 2);
}

/// The same from the rows: with X centred, X' (X X' + r rows)^-1 (Y - X W0').
at::Tensor LeastSquares::by_rows(const at::Tensor& old, double ridge, bool constant) const {
  at::Tensor x = at::cat(input_rows_, 1), y = at::cat(target_rows_, 1);
  if (constant) {
    x = x.sub(x.mean(1, true));
    y = y.sub(y.mean(1, true));
  }
  const at::Tensor residual = at::baddbmm(y, x, old.transpose(1, 2), 1, -1);
  const at::Tensor outer = at::bmm(x, x.transpose(1, 2));
  const at::Tensor dual = solve_symmetric(outer, square_.mul(ridge), residual);
  return at::bmm(dual.transpose(1, 2), x);
}

}  // namespace cpd
