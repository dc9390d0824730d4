#include <ATen/ops/bmm.h>
#include <ATen/ops/cholesky_inverse.h>
#include <ATen/ops/index.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/importance/structured_obs.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace cpd {
namespace {

at::Tensor index_of(const std::vector<int64_t>& numbers) {
  return at::tensor(at::ArrayRef<int64_t>(numbers), at::kLong);
}

at::Tensor damped(const at::Tensor& moments, double damping) {
  at::Tensor result = moments.to(at::kDouble, false, true);
  at::Tensor diagonal = result.dim() == 1 ? result : result.diagonal();
  const double mean = diagonal.mean().item<double>();
  diagonal.add_(mean > 0 ? damping * mean : 1.0);
  return result;
}

/// Inputs that are always zero leave a matrix singular without damping: its diagonal grows until it
/// is not.
at::Tensor inverse_of(at::Tensor moments) {
  if (moments.dim() == 1) return moments.reciprocal();
  double more = 1e-12 * moments.diagonal().mean().item<double>();
  for (int tries = 0; tries < 12; ++tries, more *= 10) {
    const auto [factor, info] = at::linalg_cholesky_ex(moments);
    if (info.item<int>() == 0) return at::cholesky_inverse(factor);
    moments.diagonal().add_(more);
  }
  throw Error("second moments of a layer's inputs cannot be inverted", {},
              "calibration data without infinite values");
}

std::vector<std::vector<int64_t>> columns_of(const std::vector<int64_t>& channel_of,
                                             size_t channels) {
  std::vector<std::vector<int64_t>> columns(channels);
  for (size_t column = 0; column < channel_of.size(); ++column) {
    if (channel_of[column] < 0) continue;
    columns[static_cast<size_t>(channel_of[column])].push_back(static_cast<int64_t>(column));
  }
  return columns;
}

/// Sum over the columns j, k of each channel of M_jk (W W')_jk, where W is (columns, outputs) and M
/// the channel's block of `matrix`, or that block's inverse. `index`: (channels, columns of each).
at::Tensor block_sums(const at::Tensor& weight, const at::Tensor& matrix, const at::Tensor& index,
                      bool inverted) {
  const int64_t count = index.size(0), size = index.size(1);
  const at::Tensor flat = index.view({-1});
  const at::Tensor slices = weight.index_select(0, flat).view({count, size, -1});
  if (matrix.dim() == 1 || size == 1) {
    const at::Tensor diagonal = matrix.dim() == 1 ? matrix : matrix.diagonal();
    const at::Tensor factors = diagonal.index_select(0, flat).view({count, size});
    const at::Tensor squares = slices.square().sum(2);
    return (inverted ? squares.div(factors) : squares.mul(factors)).sum(1);
  }
  c10::List<std::optional<at::Tensor>> rows_and_columns;
  rows_and_columns.push_back(index.unsqueeze(2));
  rows_and_columns.push_back(index.unsqueeze(1));
  const at::Tensor blocks = at::index(matrix, rows_and_columns);
  const at::Tensor products = at::bmm(slices, slices.transpose(1, 2));
  return (inverted ? at::linalg_inv(blocks) : blocks).mul(products).sum({1, 2});
}

/// Adds those sums for each channel that has columns; batched where channels have as many.
void add_block_sums(const at::Tensor& weight, const at::Tensor& matrix,
                    const std::vector<std::vector<int64_t>>& columns, bool inverted,
                    std::vector<double>& sums) {
  std::map<size_t, std::vector<size_t>> by_size;
  for (size_t c = 0; c < columns.size(); ++c) {
    if (!columns[c].empty()) by_size[columns[c].size()].push_back(c);
  }
  for (const auto& [size, channels] : by_size) {
    std::vector<int64_t> flat;
    for (size_t c : channels) flat.insert(flat.end(), columns[c].begin(), columns[c].end());
    const at::Tensor index = index_of(flat).view({-1, static_cast<int64_t>(size)});
    const at::Tensor costs = block_sums(weight, matrix, index, inverted).contiguous();
    for (size_t i = 0; i < channels.size(); ++i) {
      sums[channels[i]] += costs.const_data_ptr<double>()[i];
    }
  }
}

/// Columns that are gone are cut out once they are more than one of so many.
constexpr int64_t kGoneOfColumns = 8;

}  // namespace

void StructuredObs::add_layer(const at::Tensor& weight, const at::Tensor& moments, double damping,
                              const std::vector<int64_t>& channel_of) {
  Layer layer;
  layer.weight = weight.t().to(at::kDouble, false, true).contiguous();
  layer.inverse = inverse_of(damped(moments, damping));
  layer.width = weight.size(1);
  layer.original.resize(static_cast<size_t>(layer.width));
  std::iota(layer.original.begin(), layer.original.end(), int64_t{0});
  layer.columns = columns_of(channel_of, left_.size());
  layers_.push_back(std::move(layer));
}

std::vector<double> StructuredObs::losses() const {
  std::vector<double> losses(left_.size(), 0.0);
  for (size_t c = 0; c < left_.size(); ++c) {
    if (!left_[c]) losses[c] = std::numeric_limits<double>::infinity();
  }
  for (const auto& layer : layers_) {
    add_block_sums(layer.weight, layer.inverse, layer.columns, true, losses);
  }
  return losses;
}

double StructuredObs::remove(const std::vector<int64_t>& channels) {
  double loss = 0;
  for (auto& layer : layers_) loss += remove(layer, channels);
  for (int64_t channel : channels) left_[static_cast<size_t>(channel)] = false;
  return loss;
}

/// What is removed becomes zero where it stands: matrices are changed in place.
double StructuredObs::remove(Layer& layer, const std::vector<int64_t>& channels) {
  std::vector<int64_t> removed;
  for (int64_t channel : channels) {
    auto& columns = layer.columns[static_cast<size_t>(channel)];
    removed.insert(removed.end(), columns.begin(), columns.end());
    columns.clear();
  }
  if (removed.empty()) return 0;
  const at::Tensor out = index_of(removed);
  const at::Tensor slices = layer.weight.index_select(0, out);
  const at::Tensor rows = layer.inverse.index_select(0, out);
  double loss = 0;
  if (layer.inverse.dim() == 1) {
    loss = slices.square().sum(1).div(rows).sum().item<double>();
  } else {
    const at::Tensor block = rows.index_select(1, out);
    const at::Tensor carried = at::linalg_solve(block, slices);
    loss = carried.mul(slices).sum().item<double>();
    layer.weight.addmm_(rows.t(), carried, 1, -1);
    layer.inverse.addmm_(rows.t(), at::linalg_solve(block, rows), 1, -1);
  }
  layer.weight.index_fill_(0, out, 0);
  if (layer.inverse.dim() == 2) layer.inverse.index_fill_(0, out, 0).index_fill_(1, out, 0);
  for (const int64_t column : removed) layer.original[static_cast<size_t>(column)] = -1;
  layer.gone += out.numel();
  if (kGoneOfColumns * layer.gone > layer.weight.size(0)) cut(layer);
  return loss;
}

void StructuredObs::cut(Layer& layer) {
  std::vector<int64_t> stay, original, new_place(layer.original.size(), -1);
  for (size_t i = 0; i < new_place.size(); ++i) {
    if (layer.original[i] < 0) continue;
    new_place[i] = static_cast<int64_t>(stay.size());
    stay.push_back(static_cast<int64_t>(i));
    original.push_back(layer.original[i]);
  }
  const at::Tensor in = index_of(stay);
  layer.weight = layer.weight.index_select(0, in);
  layer.inverse = layer.inverse.index_select(0, in);
  if (layer.inverse.dim() == 2) layer.inverse = layer.inverse.index_select(1, in);
  layer.original = std::move(original);
  for (auto& columns : layer.columns) {
    for (auto& column : columns) column = new_place[static_cast<size_t>(column)];
  }
  layer.gone = 0;
}

at::Tensor StructuredObs::weight(size_t layer) const {
  const Layer& from = layers_[layer];
  at::Tensor weight = at::zeros({from.weight.size(1), from.width}, from.weight.options());
  for (size_t i = 0; i < from.original.size(); ++i) {
    if (from.original[i] < 0) continue;
    weight.select(1, from.original[i]).copy_(from.weight[static_cast<int64_t>(i)]);
  }
  return weight;
}

std::vector<double> losses_without_refit(const at::Tensor& weight, const at::Tensor& moments,
                                         const std::vector<int64_t>& channel_of, int64_t channels) {
  std::vector<double> losses(static_cast<size_t>(channels), 0.0);
  add_block_sums(weight.t().to(at::kDouble).contiguous(), moments,
                 columns_of(channel_of, losses.size()), false, losses);
  return losses;
}

std::vector<Removal> remove_greedily(StructuredObs obs) {
  std::vector<Removal> removals;
  for (;;) {
    const std::vector<double> losses = obs.losses();
    std::vector<int64_t> order;
    for (size_t c = 0; c < losses.size(); ++c) {
      if (losses[c] < std::numeric_limits<double>::infinity()) {
        order.push_back(static_cast<int64_t>(c));
      }
    }
    if (order.empty()) return removals;
    const auto loss_of = [&](int64_t channel) { return losses[static_cast<size_t>(channel)]; };
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return loss_of(a) < loss_of(b); });
    const auto step = std::max<size_t>(1, order.size() / kChannelsPerStep);
    order.resize(step);
    double alone = 0;
    for (int64_t channel : order) alone += loss_of(channel);
    const double together = obs.remove(order);
    for (int64_t channel : order) {
      const double share = alone > 0 ? loss_of(channel) / alone : 1.0 / static_cast<double>(step);
      removals.push_back({channel, together * share});
    }
  }
}

}  // namespace cpd
