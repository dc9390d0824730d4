#pragma once

#include <ATen/core/Tensor.h>

namespace cpd {

/// Sums X' X of rows that come in pieces (groups, rows, columns), in double precision. The matrix
/// is symmetric: of wide ones only blocks on and above the diagonal are multiplied.
class GramSum {
 public:
  void add(const at::Tensor& rows);
  bool empty() const { return !sum_.defined(); }
  /// (groups, columns, columns). The sum itself, not a copy: adding more changes it.
  at::Tensor matrix() const;

 private:
  at::Tensor sum_;
};

}  // namespace cpd
