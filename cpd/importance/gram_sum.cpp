#include <ATen/ops/zeros.h>
#include <cpd/importance/gram_sum.h>

#include <algorithm>
#include <functional>

namespace cpd {
namespace {

/// Columns of a block, about: small enough to leave out nearly half of a wide matrix, large enough
/// for fast products.
constexpr int64_t kBlock = 384;
constexpr int64_t kMostBlocks = 8;

/// Calls `visit` with the begin and the size of two ranges of columns, the first not after the
/// second, for each block on and above the diagonal.
void for_each_block(int64_t columns,
                    const std::function<void(int64_t, int64_t, int64_t, int64_t)>& visit) {
  const int64_t blocks = std::clamp<int64_t>(columns / kBlock, 1, kMostBlocks);
  const auto begin = [&](int64_t block) { return block * columns / blocks; };
  for (int64_t i = 0; i < blocks; ++i) {
    for (int64_t j = i; j < blocks; ++j) {
      visit(begin(i), begin(i + 1) - begin(i), begin(j), begin(j + 1) - begin(j));
    }
  }
}

/// As matrices where there is one group: a batch of products may run on fewer threads.
at::Tensor product(const at::Tensor& left, const at::Tensor& right) {
  if (left.size(0) > 1) return left.bmm(right);
  return left[0].mm(right[0]).unsqueeze(0);
}

}  // namespace

void GramSum::add(const at::Tensor& rows) {
  const int64_t columns = rows.size(2);
  if (empty()) {
    const auto wide = rows.options().dtype(at::kDouble);
    shift_ = rows.mean(1, true);
    rest_ = at::zeros({rows.size(0), 1, columns}, wide);
    sum_ = at::zeros({rows.size(0), columns, columns}, wide);
  }
  const at::Tensor x = rows.sub(shift_);
  rows_ += x.size(1);
  rest_.add_(x.sum(1, true, at::kDouble));
  for_each_block(columns, [&](int64_t i, int64_t height, int64_t j, int64_t width) {
    const at::Tensor left = x.narrow(2, i, height).transpose(1, 2), right = x.narrow(2, j, width);
    sum_.narrow(1, i, height).narrow(2, j, width).add_(product(left, right));
  });
}

at::Tensor GramSum::matrix() const {
  at::Tensor matrix = sum_.clone();
  for_each_block(sum_.size(2), [&](int64_t i, int64_t height, int64_t j, int64_t width) {
    if (i == j) return;
    matrix.narrow(1, j, width)
        .narrow(2, i, height)
        .copy_(matrix.narrow(1, i, height).narrow(2, j, width).transpose(1, 2));
  });
  // With x = s + d: the sum of x x' is that of d d' + d s' + s d' + s s'.
  const at::Tensor shift = shift_.to(at::kDouble);
  const at::Tensor half = rest_.add(shift, static_cast<double>(rows_) / 2);
  matrix.baddbmm_(shift.transpose(1, 2), half);
  return matrix.baddbmm_(half.transpose(1, 2), shift);
}

}  // namespace cpd
