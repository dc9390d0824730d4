#include <ATen/core/grad_mode.h>
#include <ATen/ops/bmm.h>
#include <cpd/importance/layer_sums.h>

#include <algorithm>
#include <cmath>

namespace cpd {
namespace {

/// Bytes of rows that are copied at a time.
constexpr int64_t kPiece = int64_t{32} << 20;

/// Adds X' X of rows (groups, rows, columns), or its diagonal.
void add_products(at::Tensor& sum, const at::Tensor& rows, bool diagonal) {
  const at::Tensor products = diagonal ? rows.square().sum(1) : at::bmm(rows.transpose(1, 2), rows);
  sum = sum.defined() ? sum.add_(products) : products;
}

}  // namespace

void LayerSums::add(const at::Tensor& input, const at::Tensor& output, int64_t samples,
                    int64_t first_sample) {
  const int64_t rows = layer_.rows(output);
  const at::Tensor index = drawn_rows(rows, samples, first_sample, per_sample_, seed_);
  add_inputs(input, output.detach(), index);
  if (!output.requires_grad()) return;
  const double weight = static_cast<double>(rows) / static_cast<double>(index.numel());
  output.register_hook([this, index, weight](const at::Tensor& gradient) {
    const at::NoGradGuard no_grad;
    add_gradients(gradient, index, weight);
  });
}

void LayerSums::add_inputs(const at::Tensor& input, const at::Tensor& output,
                           const at::Tensor& index) {
  const at::Tensor one = layer_.inputs(input, output, index.narrow(0, 0, 1));
  const int64_t width = one.size(0) * one.size(2);
  const bool diagonal = one.size(2) > kMostGramColumns;
  for (const at::Tensor& piece : index.split(std::max<int64_t>(1, kPiece / (8 * width)))) {
    const at::Tensor rows = layer_.inputs(input, output, piece).to(at::kDouble);
    add_products(inputs_, rows, diagonal);
    const at::Tensor sums = rows.sum(1);
    means_ = means_.defined() ? means_.add_(sums) : sums;
  }
  rows_ += index.numel();
}

void LayerSums::add_gradients(const at::Tensor& gradient, const at::Tensor& index, double weight) {
  const at::Tensor rows = layer_.outputs(gradient, index).to(at::kDouble).mul(std::sqrt(weight));
  add_products(gradients_, rows, rows.size(2) > kMostGramColumns);
}

LayerStatistics LayerSums::result(int64_t samples) const {
  const auto rows = static_cast<double>(rows_);
  LayerStatistics layer{inputs_.div(rows), means_.div(rows), {}};
  if (gradients_.defined()) layer.gradients = gradients_.div(static_cast<double>(samples));
  return layer;
}

}  // namespace cpd
