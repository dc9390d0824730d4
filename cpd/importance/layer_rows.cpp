#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/index.h>
#include <ATen/ops/tensor.h>
#include <cpd/core/random.h>
#include <cpd/importance/layer_rows.h>

#include <algorithm>

namespace cpd {
namespace {

/// Up to so many columns all rows that are asked for are looked at.
constexpr int64_t kNarrow = 1152;
constexpr int64_t kRowsForEachColumn = 8;

bool is_parameter(const Graph& graph, ValueId value) {
  return value >= 0 && graph.value(value).kind == ValueKind::kParameter;
}

using Positions = c10::List<std::optional<at::Tensor>>;

/// Flat positions in an array of these sizes as one tensor for each dimension.
Positions unravelled(const at::Tensor& index, const std::vector<int64_t>& sizes) {
  std::vector<at::Tensor> at_dim(sizes.size());
  at::Tensor rest = index;
  for (size_t d = sizes.size(); d-- > 0;) {
    at_dim[d] = rest.remainder(sizes[d]);
    rest = rest.floor_divide(sizes[d]);
  }
  Positions positions;
  for (const auto& tensor : at_dim) positions.push_back(tensor);
  return positions;
}

}  // namespace

at::Tensor at_least_single(const at::Tensor& tensor) {
  return tensor.element_size() < 4 ? tensor.to(at::kFloat) : tensor;
}

std::optional<LayerRows> LayerRows::of(const Graph& graph, OpId id) {
  const Op& op = graph.op(id);
  const bool convolution = op.kind == "aten::convolution" && !op.boolean("transposed");
  if (!convolution && op.kind != "aten::linear") return std::nullopt;
  LayerRows layer;
  layer.op_ = id;
  layer.input_ = op.tensor("input");
  layer.weight_ = op.tensor("weight");
  layer.bias_ = op.tensor("bias");
  layer.output_ = op.outputs.front();
  const Shape& shape = graph.value(layer.weight_).shape;
  const bool plain_bias = layer.bias_ < 0 || is_parameter(graph, layer.bias_);
  if (!is_parameter(graph, layer.weight_) || !plain_bias || shape.size() < 2) return std::nullopt;
  if (convolution) {
    layer.spatial_ = shape.size() - 2;
    layer.groups_ = op.integer("groups");
    layer.stride_ = op.integers("stride");
    layer.padding_ = op.integers("padding");
    layer.dilation_ = op.integers("dilation");
    layer.kernel_.assign(shape.begin() + 2, shape.end());
  }
  return layer;
}

int64_t LayerRows::rows(const at::Tensor& output) const {
  const int64_t channels = spatial_ > 0 ? output.size(1) : output.size(-1);
  return output.numel() / channels;
}

at::Tensor LayerRows::outputs(const at::Tensor& output, const at::Tensor& index) const {
  const at::Tensor last = spatial_ > 0 ? output.movedim(1, -1) : output;
  std::vector<int64_t> sizes = last.sizes().vec();
  sizes.pop_back();
  const at::Tensor rows = at::index(last, unravelled(index, sizes));
  return at_least_single(rows.reshape({index.numel(), groups_, -1}).transpose(0, 1));
}

at::Tensor LayerRows::inputs(const at::Tensor& input, const at::Tensor& output,
                             const at::Tensor& index) const {
  if (spatial_ == 0) {
    const at::Tensor rows = input.reshape({-1, input.size(-1)}).index_select(0, index);
    return at_least_single(rows.unsqueeze(0));
  }
  const at::Tensor rows = patches(input, output, index).reshape({index.numel(), groups_, -1});
  return at_least_single(rows.transpose(0, 1));
}

/// (rows, channels, kernel...): a view with one patch for each output position, of which only those
/// wanted are copied.
at::Tensor LayerRows::patches(const at::Tensor& input, const at::Tensor& output,
                              const at::Tensor& index) const {
  std::vector<int64_t> pads;
  for (size_t d = spatial_; d-- > 0;) pads.insert(pads.end(), 2, padding_[d]);
  const bool pad = std::any_of(pads.begin(), pads.end(), [](int64_t size) { return size != 0; });
  const at::Tensor padded = (pad ? at::constant_pad_nd(input, pads) : input).contiguous();
  std::vector<int64_t> sizes{padded.size(0)}, strides{padded.stride(0)};
  for (size_t d = 0; d < spatial_; ++d) {
    const auto dim = static_cast<int64_t>(d) + 2;
    sizes.push_back(output.size(dim));
    strides.push_back(padded.stride(dim) * stride_[d]);
  }
  const Positions positions = unravelled(index, sizes);
  sizes.push_back(padded.size(1));
  strides.push_back(padded.stride(1));
  for (size_t d = 0; d < spatial_; ++d) {
    sizes.push_back(kernel_[d]);
    strides.push_back(padded.stride(static_cast<int64_t>(d) + 2) * dilation_[d]);
  }
  return at::index(padded.as_strided(sizes, strides), positions);
}

at::Tensor LayerRows::matrix(const at::Tensor& weight) const {
  return weight.reshape({groups_, weight.size(0) / groups_, -1});
}

ConstantPlace constant_place(const Graph& graph, const std::vector<std::vector<OpId>>& users,
                             const LayerRows& layer) {
  const auto readers = [&](ValueId value) -> const std::vector<OpId>& {
    return users[static_cast<size_t>(value)];
  };
  if (layer.bias() >= 0) {
    return {readers(layer.bias()).size() == 1 ? layer.bias() : -1, -1};
  }
  const auto outputs = graph.output_values();
  const bool returned = std::find(outputs.begin(), outputs.end(), layer.output()) != outputs.end();
  if (returned || readers(layer.output()).size() != 1) return {};
  const Op& norm = graph.op(readers(layer.output()).front());
  if (norm.kind != "aten::batch_norm" || !norm.has("running_mean")) return {};
  const ValueId mean = norm.tensor("running_mean");
  const bool own = is_parameter(graph, mean) && readers(mean).size() == 1;
  return {-1, own ? mean : -1};
}

at::Tensor drawn_rows(int64_t rows, int64_t samples, int64_t first_sample, int64_t per_sample,
                      uint64_t seed) {
  if (samples < 1 || rows % samples != 0) samples = 1;
  const int64_t own = rows / samples;
  if (per_sample >= own) return at::arange(rows, at::kLong);
  std::vector<int64_t> drawn;
  drawn.reserve(static_cast<size_t>(samples * per_sample));
  for (int64_t s = 0; s < samples; ++s) {
    Random random(mix(seed, static_cast<uint64_t>(first_sample + s)));
    for (int64_t k = 0; k < per_sample; ++k) {
      const int64_t begin = k * own / per_sample, end = (k + 1) * own / per_sample;
      drawn.push_back(s * own + begin + random.below(end - begin));
    }
  }
  return at::tensor(at::ArrayRef<int64_t>(drawn), at::kLong);
}

int64_t rows_worth(int64_t columns, int64_t most) {
  if (columns <= kNarrow) return most;
  const double narrower = static_cast<double>(kNarrow) / static_cast<double>(columns);
  const auto as_dear = static_cast<int64_t>(static_cast<double>(most) * narrower * narrower);
  return std::min(most, std::max(kRowsForEachColumn * columns, as_dear));
}

}  // namespace cpd
