#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/dynamic_ops/channel_masks.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

namespace cpd {
namespace {

/// Number of entries after which a mask repeats along a dimension.
int64_t period_of(const at::Tensor& mask, int64_t dim) {
  const int64_t size = mask.size(dim);
  for (int64_t period = 1; period < size; ++period) {
    if (size % period != 0) continue;
    if (mask.narrow(dim, 0, size - period).equal(mask.narrow(dim, period, size - period))) {
      return period;
    }
  }
  return size;
}

/// A mask whose dimensions contain the batch (batch and heads merged) for another batch size: the
/// batch is the outer part, so the pattern repeats.
at::Tensor fitted(at::Tensor mask, const Shape& shape) {
  for (int64_t d = 0; d < mask.dim(); ++d) {
    const int64_t wanted = shape[static_cast<size_t>(d)];
    if (mask.size(d) == 1 || mask.size(d) == wanted) continue;
    const int64_t period = period_of(mask, d);
    if (wanted % period != 0) {
      throw Error("a dimension of size " + std::to_string(wanted) +
                  " does not follow the mask that was found on the example inputs, which repeats "
                  "after " +
                  std::to_string(period) + " positions");
    }
    Shape repeats(static_cast<size_t>(mask.dim()), 1);
    repeats[static_cast<size_t>(d)] = wanted / period;
    mask = mask.narrow(d, 0, period).repeat(repeats);
  }
  return mask;
}

int64_t product(const Shape& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

/// Number kept along `dim` in a row that keeps something.
int64_t kept_in_row(const FormArray& array, const std::vector<uint8_t>& kept) {
  const auto dim = static_cast<size_t>(array.dim);
  int64_t inner = 1;
  for (size_t d = dim + 1; d < array.extents.size(); ++d) inner *= array.extents[d];
  const int64_t extent = array.extents[dim];
  const int64_t outer = product(array.extents) / (inner * extent);
  for (int64_t row = 0; row < outer * inner; ++row) {
    const int64_t first = (row / inner) * extent * inner + row % inner;
    int64_t count = 0;
    for (int64_t i = 0; i < extent; ++i) count += kept[static_cast<size_t>(first + i * inner)];
    if (count > 0) return count;
  }
  return 0;
}

}  // namespace

ChannelMasks::ChannelMasks(const Graph& graph, const Combing& combing)
    : graph_(&graph), combing_(&combing), entries_(combing.arrays.size()) {
  set_keep(Keep(combing));
}

void ChannelMasks::set_keep(const Keep& keep) {
  const auto forms = keep.forms(*combing_);
  cut_arrays_ = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    update(entries_[i], combing_->arrays[i], forms);
    cut_arrays_ += entries_[i].mask.defined() ? 1 : 0;
  }
}

void ChannelMasks::update(Entry& entry, const FormArray& array, const std::vector<uint8_t>& forms) {
  std::vector<uint8_t> kept(array.entries.size());
  std::transform(array.entries.begin(), array.entries.end(), kept.begin(),
                 [&](int32_t form) { return forms[static_cast<size_t>(form)]; });
  if (kept == entry.kept) return;
  entry.kept = std::move(kept);
  entry.size = kept_in_row(array, entry.kept);
  entry.mask = at::Tensor();
  if (std::find(entry.kept.begin(), entry.kept.end(), 0) == entry.kept.end()) return;
  entry.mask = at::empty(array.extents, at::TensorOptions().dtype(at::kBool));
  std::memcpy(entry.mask.data_ptr(), entry.kept.data(), entry.kept.size());
}

int ChannelMasks::array_of(ValueId value, int dim) const {
  const auto id = static_cast<size_t>(value);
  if (id >= combing_->dims.size()) return -1;
  const auto& dims = combing_->dims[id];
  return static_cast<size_t>(dim) < dims.size() ? dims[static_cast<size_t>(dim)] : -1;
}

std::vector<int> ChannelMasks::all_dims(ValueId value) const {
  std::vector<int> dims(graph_->value(value).shape.size());
  std::iota(dims.begin(), dims.end(), 0);
  return dims;
}

bool ChannelMasks::cuts(ValueId value, int dim) const {
  const int array = array_of(value, dim);
  return array >= 0 && entries_[static_cast<size_t>(array)].mask.defined();
}

bool ChannelMasks::cuts(ValueId value) const {
  const auto dims = all_dims(value);
  return std::any_of(dims.begin(), dims.end(), [&](int dim) { return cuts(value, dim); });
}

int64_t ChannelMasks::kept(ValueId value, int dim) const {
  const int array = array_of(value, dim);
  const int64_t dense = graph_->value(value).shape.at(static_cast<size_t>(dim));
  if (array < 0 || !cuts(value, dim)) return dense;
  const auto& form_array = combing_->arrays[static_cast<size_t>(array)];
  const int64_t size = entries_[static_cast<size_t>(array)].size;
  // An array that is constant along its own dimension: all or nothing.
  return form_array.varies(dim) ? size : size * dense;
}

at::Tensor ChannelMasks::mask(const at::Tensor& tensor, ValueId value,
                              const std::vector<int>& dims) const {
  at::Tensor result;
  for (const int dim : dims) {
    if (!cuts(value, dim)) continue;
    const auto& entry = entries_[static_cast<size_t>(array_of(value, dim))];
    const auto one = fitted(entry.mask, tensor.sizes().vec());
    result = result.defined() ? result.logical_and(one) : one;
  }
  return result.defined() ? result.to(tensor.device()) : result;
}

at::Tensor ChannelMasks::masked(const at::Tensor& tensor, ValueId value,
                                const std::vector<int>& dims, double fill) const {
  const auto kept = mask(tensor, value, dims);
  if (!kept.defined()) return tensor;
  return at::where(kept, tensor, at::scalar_tensor(fill, tensor.options().requires_grad(false)));
}

at::Tensor ChannelMasks::masked(const at::Tensor& tensor, ValueId value, double fill) const {
  return masked(tensor, value, all_dims(value), fill);
}

/// How the kept elements lie in a dense tensor: the dimensions that take part come first, rows
/// before columns, and are taken as one flat dimension.
struct ChannelMasks::Layout {
  std::vector<int64_t> order;   ///< of the dense dimensions
  std::ptrdiff_t involved = 0;  ///< how many of them take part
  Shape dense;                  ///< sizes in that order
  Shape compact;                ///< sizes in that order
  at::Tensor positions;         ///< of the kept elements in the flat dimension

  std::vector<int64_t> back() const {
    std::vector<int64_t> inverse(order.size());
    for (size_t i = 0; i < order.size(); ++i) {
      inverse[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
    }
    return inverse;
  }
  /// Sizes with the dimensions that take part replaced by one of `extent`.
  Shape flat(int64_t extent) const {
    Shape shape(dense.begin() + involved, dense.end());
    shape.insert(shape.begin(), extent);
    return shape;
  }
  int64_t extent() const { return product({dense.begin(), dense.begin() + involved}); }
};

std::vector<int> ChannelMasks::rows_first(ValueId value) const {
  const auto rank = static_cast<int>(graph_->value(value).shape.size());
  std::set<int> open;
  for (int d = 0; d < rank; ++d) {
    if (!cuts(value, d)) continue;
    open.insert(d);
    for (const int row : rows_of(value, d)) open.insert(row);
  }
  std::vector<int> order;
  while (!open.empty()) {
    const auto next = std::find_if(open.begin(), open.end(), [&](int d) {
      const auto rows = cuts(value, d) ? rows_of(value, d) : std::vector<int>();
      return std::none_of(rows.begin(), rows.end(), [&](int row) { return open.count(row) > 0; });
    });
    if (next == open.end()) throw Error("the kept elements of a value are no rectangle");
    order.push_back(*next);
    open.erase(next);
  }
  return order;
}

std::vector<int> ChannelMasks::rows_of(ValueId value, int dim) const {
  const auto& array = combing_->arrays[static_cast<size_t>(array_of(value, dim))];
  std::vector<int> rows;
  for (int d = 0; d < static_cast<int>(array.extents.size()); ++d) {
    if (d != dim && array.varies(d)) rows.push_back(d);
  }
  return rows;
}

ChannelMasks::Layout ChannelMasks::layout_of(const Shape& dense, ValueId value,
                                             c10::Device device) const {
  Layout layout;
  const auto first = rows_first(value);
  layout.involved = static_cast<std::ptrdiff_t>(first.size());
  layout.order.assign(first.begin(), first.end());
  Shape shape(dense.size(), 1);
  for (int d = 0; d < static_cast<int>(dense.size()); ++d) {
    const bool takes_part = std::find(first.begin(), first.end(), d) != first.end();
    if (!takes_part) layout.order.push_back(d);
    if (takes_part) shape[static_cast<size_t>(d)] = dense[static_cast<size_t>(d)];
  }
  const Shape compact = cut_shape(dense, value);
  for (const int64_t d : layout.order) {
    layout.dense.push_back(dense[static_cast<size_t>(d)]);
    layout.compact.push_back(compact[static_cast<size_t>(d)]);
  }
  const auto kept = mask(at::empty({}).expand(shape), value, all_dims(value)).expand(shape);
  layout.positions = kept.permute(layout.order).flatten().nonzero().flatten().to(device);
  return layout;
}

Shape ChannelMasks::cut_shape(const Shape& dense, ValueId value) const {
  Shape shape = dense;
  const auto& example = graph_->value(value).shape;
  for (size_t d = 0; d < dense.size(); ++d) {
    const int dim = static_cast<int>(d);
    if (cuts(value, dim)) shape[d] = dense[d] * kept(value, dim) / example[d];
  }
  return shape;
}

Shape ChannelMasks::dense_shape(const Shape& compact, ValueId value) const {
  Shape shape = compact;
  const auto& example = graph_->value(value).shape;
  for (size_t d = 0; d < compact.size(); ++d) {
    const int dim = static_cast<int>(d);
    if (cuts(value, dim)) shape[d] = compact[d] * example[d] / kept(value, dim);
  }
  return shape;
}

at::Tensor ChannelMasks::cut(const at::Tensor& dense, ValueId value) const {
  if (!cuts(value)) return dense;
  const auto layout = layout_of(dense.sizes().vec(), value, dense.device());
  if (layout.involved == 1) return dense.index_select(layout.order[0], layout.positions);
  return dense.permute(layout.order)
      .reshape(layout.flat(layout.extent()))
      .index_select(0, layout.positions)
      .reshape(layout.compact)
      .permute(layout.back());
}

at::Tensor ChannelMasks::spread(const at::Tensor& compact, ValueId value) const {
  if (!cuts(value)) return compact;
  const Shape dense = dense_shape(compact.sizes().vec(), value);
  const auto layout = layout_of(dense, value, compact.device());
  const auto options = compact.options().requires_grad(false);
  if (layout.involved == 1) {
    return at::zeros(dense, options).index_copy(layout.order[0], layout.positions, compact);
  }
  return at::zeros(layout.flat(layout.extent()), options)
      .index_copy(0, layout.positions,
                  compact.permute(layout.order).reshape(layout.flat(layout.positions.size(0))))
      .reshape(layout.dense)
      .permute(layout.back());
}

}  // namespace cpd
