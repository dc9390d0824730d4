#include <ATen/core/grad_mode.h>
#include <cpd/importance/layer_sums.h>

#include <algorithm>
#include <cmath>

namespace cpd {
namespace {

/// Bytes of rows that are copied at a time.
constexpr int64_t kPiece = int64_t{32} << 20;

}  // namespace

void LayerSums::Moments::add(const at::Tensor& rows) {
  if (rows.size(2) <= kMostGramColumns) return gram.add(rows);
  const at::Tensor squares = rows.square().sum(1, false, at::kDouble);
  diagonal = diagonal.defined() ? diagonal.add_(squares) : squares;
}

at::Tensor LayerSums::Moments::take(double count) {
  const at::Tensor result = (gram.empty() ? diagonal : gram.matrix()).div_(count);
  *this = {};
  return result;
}

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
  for (const at::Tensor& piece : index.split(std::max<int64_t>(1, kPiece / (8 * width)))) {
    const at::Tensor rows = layer_.inputs(input, output, piece);
    inputs_.add(rows);
    const at::Tensor sums = rows.sum(1, false, at::kDouble);
    means_ = means_.defined() ? means_.add_(sums) : sums;
  }
  rows_ += index.numel();
}

void LayerSums::add_gradients(const at::Tensor& gradient, const at::Tensor& index, double weight) {
  gradients_.add(layer_.outputs(gradient, index).mul(std::sqrt(weight)));
}

LayerStatistics LayerSums::take(int64_t samples) {
  const auto rows = static_cast<double>(rows_);
  LayerStatistics layer{inputs_.take(rows), means_.div(rows), {}};
  if (!gradients_.empty()) layer.gradients = gradients_.take(static_cast<double>(samples));
  return layer;
}

}  // namespace cpd
