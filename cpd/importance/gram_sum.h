#pragma once

#include <ATen/core/Tensor.h>

namespace cpd {

/// Sums X' X of rows that come in pieces (groups, rows, columns). Pieces are multiplied in the
/// precision of the rows and added up in double precision, about the mean of the first piece: means
/// that are large beside the deviations cost no digits. The matrix is symmetric: of wide ones only
/// blocks on and above the diagonal are multiplied.
class GramSum {
 public:
  void add(const at::Tensor& rows);
  bool empty() const { return !sum_.defined(); }
  /// (groups, columns, columns), about zero; a tensor of its own.
  at::Tensor matrix() const;
  /// What rows are taken about: (groups, 1, columns), in their precision.
  const at::Tensor& shift() const { return shift_; }

 private:
  at::Tensor sum_;   ///< of (x - shift)' (x - shift)
  at::Tensor rest_;  ///< of x - shift: (groups, 1, columns)
  at::Tensor shift_;
  int64_t rows_ = 0;
};

}  // namespace cpd
