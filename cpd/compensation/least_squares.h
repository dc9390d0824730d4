#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/importance/gram_sum.h>

#include <cstdint>
#include <vector>

namespace cpd {

/// A weight and a constant fitted to rows: (groups, outputs, columns) and (groups, outputs).
struct Fit {
  at::Tensor weight;
  at::Tensor constant;  ///< undefined if none was asked for
};

/// Linear least squares from rows that come in pieces, for several groups at once, with sums in
/// double precision. Finds the weight W and the constant c that make |X W' + c - Y|^2 / rows + r |W
/// - W0|^2 least, where r is `ridge` times the mean square of the entries of X; c is not held back.
///
/// Keeps Gram matrices where there are more rows than columns, and the rows themselves otherwise:
/// the solution is the same (Woodbury's identity), the memory that of the smaller one.
class LeastSquares {
 public:
  LeastSquares(int64_t columns, int64_t expected_rows) : keeps_rows_(expected_rows < columns) {}

  /// Takes inputs (groups, rows, columns) and targets (groups, rows, outputs).
  void add(const at::Tensor& inputs, const at::Tensor& targets);
  int64_t rows() const { return rows_; }

  /// Throws cpd::Error if no rows were added.
  Fit solve(const at::Tensor& old_weight, double ridge, bool constant) const;
  /// The constant alone: mean of Y - X W0'.
  at::Tensor best_constant(const at::Tensor& old_weight) const;

 private:
  at::Tensor cross_about_zero() const;
  at::Tensor by_columns(const at::Tensor& old_weight, double ridge, bool constant) const;
  at::Tensor by_rows(const at::Tensor& old_weight, double ridge, bool constant) const;

  bool keeps_rows_;
  int64_t rows_ = 0;
  at::Tensor inputs_, targets_;  ///< sums over rows: (groups, 1, columns), (groups, 1, outputs)
  at::Tensor square_;            ///< mean square of the inputs' entries, summed over rows: (groups)
  GramSum gram_;
  at::Tensor cross_;  ///< of y and x about its shift: (groups, outputs, columns)
  std::vector<at::Tensor> input_rows_, target_rows_;
};

}  // namespace cpd
