#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <cpd/compensation/least_squares.h>
#include <cpd/compensation/refit.h>
#include <cpd/core/random.h>

#include <algorithm>

namespace cpd {
namespace {

/// Bytes of rows that are copied at a time.
constexpr int64_t kPiece = int64_t{32} << 20;
/// Wider layers are fitted from fewer rows, and those are kept instead of a Gram matrix.
constexpr int64_t kMostColumns = 6144, kRowsOfWideLayers = 2048;

bool is_depthwise(const LayerRows& layer, const at::Tensor& weight) {
  return layer.groups() > 1 && weight.size(1) == 1;
}

}  // namespace

Refit::Refit(SideBySide& sweep, const CompensationOptions& options, std::vector<std::string>& notes)
    : sweep_(sweep), options_(options), notes_(notes), users_(sweep.graph().users()) {
  const auto outputs = sweep.graph().output_values();
  outputs_.insert(outputs.begin(), outputs.end());
}

bool Refit::looks_at(const Op& op) {
  return op.kind == "aten::convolution" || op.kind == "aten::linear";
}

void Refit::visit(OpId op) {
  const auto layer = LayerRows::of(sweep_.graph(), op);
  if (!layer || !sweep_.differs(op, layer->input())) return;
  if (is_depthwise(*layer, sweep_.parameter(layer->weight()))) return;
  const std::string reason = why_not(*layer);
  if (reason.empty()) return fit(*layer);
  notes_.push_back("'" + sweep_.graph().value(layer->weight()).name +
                   "' was not refitted: " + reason);
}

ValueId Refit::only_user_of(ValueId value) const {
  const auto& users = users_[static_cast<size_t>(value)];
  return users.size() == 1 && outputs_.count(value) == 0 ? users.front() : -1;
}

/// Is the tensor read by one op alone?
bool Refit::is_own(ValueId parameter) const {
  return users_[static_cast<size_t>(parameter)].size() == 1;
}

std::string Refit::why_not(const LayerRows& layer) const {
  if (!is_own(layer.weight())) return "several layers share it";
  if (options_.type == CompensationType::kBias &&
      constant_place(sweep_.graph(), users_, layer).none()) {
    return "it has no bias and no batch norm follows";
  }
  return "";
}

/// Follows the output through a batch norm and dropout to an addition.
Refit::Sum Refit::sum_after(const LayerRows& layer) const {
  const auto dims = [&](ValueId id) { return sweep_.graph().value(id).shape.size(); };
  // A batch norm behind a linear layer on sequences is not over the layer's outputs.
  const bool channels_second = dims(layer.output()) == dims(layer.weight());
  ValueId value = layer.output();
  at::Tensor scale;
  for (OpId user = only_user_of(value); user >= 0; user = only_user_of(value)) {
    const Op& op = sweep_.graph().op(user);
    if (op.kind == "aten::batch_norm" && op.has("running_var") && !scale.defined() &&
        channels_second) {
      scale = sweep_.parameter(op.tensor("running_var")).add(op.real("eps")).rsqrt();
      if (op.has("weight")) scale = scale.mul(sweep_.parameter(op.tensor("weight")));
    } else if (op.kind == "aten::add" && op.has("alpha") && op.real("alpha") == 1) {
      const auto operands = op.operands();
      if (operands.size() != 2 || operands[0] == operands[1]) return {};
      const ValueId other = operands[operands[0] == value ? 1 : 0];
      const bool live = sweep_.is_live(user, other) &&
                        sweep_.graph().value(other).kind == ValueKind::kResult &&
                        sweep_.graph().value(other).shape == sweep_.graph().value(value).shape;
      if (!live) return {-1, -1, scale};
      return {other, sweep_.twin(user, other), scale};
    } else if (op.kind != "aten::dropout") {
      return {};
    }
    value = op.outputs.front();
  }
  return {};
}

/// What the layer should give: what it gives in the dense network, and what the rest of the sum
/// lacks. Rows are cut out last: the function returned is called for a piece of them at a time.
Refit::Target Refit::target(size_t batch, const LayerRows& layer, const Sum& sum) const {
  const at::Tensor own = sweep_.dense(batch, layer.output());
  if (sum.other < 0) return [=](const at::Tensor& index) { return layer.outputs(own, index); };
  const at::Tensor dense = sweep_.dense(batch, sum.twin), other = sweep_.pruned(batch, sum.other);
  at::Tensor factor;
  if (sum.scale.defined()) {
    const at::Tensor size = sum.scale.abs();
    factor = at::where(size.gt(size.max().mul(1e-4)), sum.scale.reciprocal(), at::zeros_like(size))
                 .reshape({layer.groups(), 1, -1});
  }
  return [=](const at::Tensor& index) {
    const at::Tensor missing = layer.outputs(dense, index).sub(layer.outputs(other, index));
    return layer.outputs(own, index).add(factor.defined() ? missing.mul(factor) : missing);
  };
}

void Refit::fit(const LayerRows& layer) {
  const at::Tensor weight = sweep_.parameter(layer.weight());
  const ConstantPlace place = constant_place(sweep_.graph(), users_, layer);
  const LeastSquares squares = gathered(layer);
  const at::Tensor old = layer.matrix(weight);
  if (options_.type == CompensationType::kBias) {
    return put_constant(place, squares.best_constant(old));
  }
  const Fit found = squares.solve(old, options_.ridge, !place.none());
  sweep_.set_parameter(layer.weight(),
                       found.weight.reshape(weight.sizes()).to(weight.scalar_type()));
  put_constant(place, found.constant);
}

/// The rows of all batches, a piece at a time.
LeastSquares Refit::gathered(const LayerRows& layer) const {
  const int64_t columns = layer.matrix(sweep_.parameter(layer.weight())).size(2);
  const int64_t samples = sweep_.samples();
  const int64_t wanted = columns > kMostColumns ? std::min(options_.positions, kRowsOfWideLayers)
                                                : rows_worth(columns, options_.positions);
  const int64_t per_sample = (wanted + samples - 1) / samples;
  const auto piece = std::max<int64_t>(1, kPiece / (8 * columns * layer.groups()));
  const uint64_t seed = mix(options_.seed, static_cast<uint64_t>(layer.op()));
  std::vector<at::Tensor> drawn;
  int64_t rows = 0, first = 0;
  for (size_t b = 0; b < sweep_.batches(); ++b) {
    const int64_t all = layer.rows(sweep_.whole(b, layer.output()));
    drawn.push_back(drawn_rows(all, sweep_.samples(b), first, per_sample, seed));
    rows += drawn.back().numel();
    first += sweep_.samples(b);
  }
  LeastSquares squares(columns, rows);
  const Sum sum = options_.follow_sums ? sum_after(layer) : Sum{};
  for (size_t b = 0; b < sweep_.batches(); ++b) {
    const Target target_rows = target(b, layer, sum);
    const at::Tensor &read = sweep_.pruned(b, layer.input()),
                     &given = sweep_.whole(b, layer.output());
    for (const at::Tensor& index : drawn[b].split(piece)) {
      squares.add(layer.inputs(read, given, index), target_rows(index));
    }
  }
  return squares;
}

void Refit::put_constant(const ConstantPlace& place, const at::Tensor& constant) {
  if (place.none()) return;
  const at::Tensor flat = constant.reshape({-1});
  if (place.bias >= 0) {
    return sweep_.set_parameter(place.bias, flat.to(sweep_.parameter(place.bias).scalar_type()));
  }
  const at::Tensor mean = sweep_.parameter(place.running_mean);
  sweep_.set_parameter(place.running_mean, mean.to(at::kDouble).sub(flat).to(mean.scalar_type()));
}

}  // namespace cpd
