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

std::vector<int64_t> all_of(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  return numbers;
}

}  // namespace

void StructuredObs::add_layer(const at::Tensor& weight, const at::Tensor& moments, double damping,
                              const std::vector<int64_t>& channel_of) {
  Layer layer;
  layer.weight = weight.to(at::kDouble, false, true);
  layer.inverse = inverse_of(damped(moments, damping));
  layer.width = weight.size(1);
  layer.original = all_of(layer.width);
  layer.columns.resize(left_.size());
  for (size_t column = 0; column < channel_of.size(); ++column) {
    if (channel_of[column] < 0) continue;
    layer.columns[static_cast<size_t>(channel_of[column])].push_back(static_cast<int64_t>(column));
  }
  layers_.push_back(std::move(layer));
}

std::vector<double> StructuredObs::losses() const {
  std::vector<double> losses(left_.size(), std::numeric_limits<double>::infinity());
  for (size_t c = 0; c < left_.size(); ++c) {
    if (left_[c]) losses[c] = 0;
  }
  for (const auto& layer : layers_) {
    std::map<size_t, std::vector<int64_t>> by_size;  // batched where channels have as many columns
    for (size_t c = 0; c < left_.size(); ++c) {
      if (left_[c] && !layer.columns[c].empty()) {
        by_size[layer.columns[c].size()].push_back(static_cast<int64_t>(c));
      }
    }
    for (const auto& [size, channels] : by_size) add_losses(layer, channels, losses);
  }
  return losses;
}

void StructuredObs::add_losses(const Layer& layer, const std::vector<int64_t>& channels,
                               std::vector<double>& losses) {
  std::vector<int64_t> flat;
  for (int64_t channel : channels) {
    const auto& columns = layer.columns[static_cast<size_t>(channel)];
    flat.insert(flat.end(), columns.begin(), columns.end());
  }
  const auto count = static_cast<int64_t>(channels.size());
  const at::Tensor index = index_of(flat).view({count, -1});
  // (channels, outputs, columns of a channel)
  const at::Tensor slices = layer.weight.index_select(1, index.view({-1}))
                                .view({layer.weight.size(0), count, -1})
                                .transpose(0, 1);
  at::Tensor costs;
  if (layer.inverse.dim() == 1) {
    const at::Tensor moments = layer.inverse.index_select(0, index.view({-1})).view_as(index);
    costs = slices.square().sum(1).div(moments).sum(1);
  } else {
    c10::List<std::optional<at::Tensor>> rows_and_columns;
    rows_and_columns.push_back(index.unsqueeze(2));
    rows_and_columns.push_back(index.unsqueeze(1));
    const at::Tensor blocks = at::index(layer.inverse, rows_and_columns);
    const at::Tensor products = at::bmm(slices.transpose(1, 2), slices);
    costs = at::linalg_inv(blocks).mul(products).sum({1, 2});
  }
  costs = costs.contiguous();
  for (int64_t i = 0; i < count; ++i) {
    losses[static_cast<size_t>(channels[static_cast<size_t>(i)])] +=
        costs.const_data_ptr<double>()[i];
  }
}

double StructuredObs::remove(const std::vector<int64_t>& channels) {
  double loss = 0;
  for (auto& layer : layers_) loss += remove(layer, channels);
  for (int64_t channel : channels) left_[static_cast<size_t>(channel)] = false;
  return loss;
}

double StructuredObs::remove(Layer& layer, const std::vector<int64_t>& channels) {
  std::vector<bool> gone(layer.original.size(), false);
  for (int64_t channel : channels) {
    auto& columns = layer.columns[static_cast<size_t>(channel)];
    for (int64_t column : columns) gone[static_cast<size_t>(column)] = true;
    columns.clear();
  }
  std::vector<int64_t> removed, stay, new_place(gone.size(), -1);
  for (size_t i = 0; i < gone.size(); ++i) {
    auto& list = gone[i] ? removed : stay;
    if (!gone[i]) new_place[i] = static_cast<int64_t>(stay.size());
    list.push_back(static_cast<int64_t>(i));
  }
  if (removed.empty()) return 0;
  const at::Tensor out = index_of(removed), in = index_of(stay);
  const at::Tensor slices = layer.weight.index_select(1, out);
  layer.weight = layer.weight.index_select(1, in);
  double loss = 0;
  if (layer.inverse.dim() == 1) {
    loss = slices.square().div(layer.inverse.index_select(0, out)).sum().item<double>();
    layer.inverse = layer.inverse.index_select(0, in);
  } else {
    const at::Tensor rows = layer.inverse.index_select(0, out);
    const at::Tensor block = rows.index_select(1, out), cross = rows.index_select(1, in);
    const at::Tensor carried = at::linalg_solve(block, cross);
    loss = at::linalg_solve(block, slices.t()).mul(slices.t()).sum().item<double>();
    layer.weight.addmm_(slices, carried, 1, -1);
    layer.inverse = layer.inverse.index_select(0, in).index_select(1, in);
    layer.inverse.addmm_(cross.t(), carried, 1, -1);
  }
  std::vector<int64_t> original;
  for (int64_t i : stay) original.push_back(layer.original[static_cast<size_t>(i)]);
  layer.original = std::move(original);
  for (auto& columns : layer.columns) {
    for (auto& column : columns) column = new_place[static_cast<size_t>(column)];
  }
  return loss;
}

at::Tensor StructuredObs::weight(size_t layer) const {
  const Layer& from = layers_[layer];
  return at::zeros({from.weight.size(0), from.width}, from.weight.options())
      .index_copy_(1, index_of(from.original), from.weight);
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
