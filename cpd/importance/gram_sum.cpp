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

}  // namespace

void GramSum::add(const at::Tensor& rows) {
  const at::Tensor x = rows.to(at::kDouble);
  const int64_t columns = x.size(2);
  if (empty()) sum_ = at::zeros({x.size(0), columns, columns}, x.options());
  for_each_block(columns, [&](int64_t i, int64_t height, int64_t j, int64_t width) {
    const at::Tensor left = x.narrow(2, i, height).transpose(1, 2), right = x.narrow(2, j, width);
    if (x.size(0) > 1) {
      sum_.narrow(1, i, height).narrow(2, j, width).baddbmm_(left, right);
    } else {
      sum_[0].narrow(0, i, height).narrow(1, j, width).addmm_(left[0], right[0]);
    }
  });
}

at::Tensor GramSum::matrix() const {
  for_each_block(sum_.size(2), [&](int64_t i, int64_t height, int64_t j, int64_t width) {
    if (i == j) return;
    sum_.narrow(1, j, width)
        .narrow(2, i, height)
        .copy_(sum_.narrow(1, i, height).narrow(2, j, width).transpose(1, 2));
  });
  return sum_;
}

}  // namespace cpd
