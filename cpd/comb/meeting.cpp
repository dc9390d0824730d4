#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <cpd/comb/meeting.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

namespace cpd {
namespace {

using Names = std::vector<std::string>;

[[noreturn]] void refuse(const Op& op, const std::string& problem) {
  throw Error("the plan is refused: " + problem, {op.kind, op.where.text(), ""},
              "a pruned network that computes what the dense one does on the kept channels");
}

constexpr const char* kDifferent = "operands keep different positions";

bool same_under_broadcasting(const at::Tensor& a, const at::Tensor& b) {
  return !a.ne(b).any().item<bool>();
}

/// An operand or result with a name for each dimension: dimensions of one name meet. Dimensions
/// without a name take no part.
struct Named {
  ValueId value;
  Names names;
};

/// Where dimensions of one name meet, the same positions are kept.
class NamedMeeting {
 public:
  NamedMeeting(const Op& op, const KeepMasks& masks, const std::vector<Named>& values)
      : op_(op), masks_(masks) {
    std::set<std::string> names;
    for (const Named& named : values) names.insert(named.names.begin(), named.names.end());
    names.erase("");
    axes_.assign(names.begin(), names.end());
  }

  void check(const std::vector<Named>& values) const {
    for (const std::string& name : axes_) {
      at::Tensor first;
      for (const Named& named : values) {
        for (size_t d = 0; d < named.names.size(); ++d) {
          if (named.names[d] != name || masks_.shape(named.value)[d] == 1) continue;
          const at::Tensor mask = lifted(named, static_cast<int>(d));
          if (first.defined() && !same_under_broadcasting(first, mask)) refuse(op_, kDifferent);
          if (!first.defined()) first = mask;
        }
      }
    }
  }

 private:
  /// The mask of one dimension with an axis for each name.
  at::Tensor lifted(const Named& named, int dim) const {
    const at::Tensor mask = masks_.along(named.value, dim);
    std::vector<int64_t> order, extents;
    for (const std::string& axis : axes_) {
      const auto found = std::find(named.names.begin(), named.names.end(), axis);
      extents.push_back(1);
      if (found == named.names.end()) continue;
      order.push_back(found - named.names.begin());
      extents.back() = mask.size(order.back());
    }
    for (int64_t d = 0; d < mask.dim(); ++d) {
      if (std::find(order.begin(), order.end(), d) != order.end()) continue;
      if (mask.size(d) > 1) refuse(op_, "kept positions differ along a dimension that is mixed");
      order.push_back(d);
    }
    return mask.permute(order).reshape(extents);
  }

  const Op& op_;
  const KeepMasks& masks_;
  Names axes_;
};

void check_named(const Op& op, const KeepMasks& masks, const std::vector<Named>& values) {
  NamedMeeting(op, masks, values).check(values);
}

Names batch_names(int count) {
  Names names;
  for (int i = count; i-- > 0;) names.push_back("batch" + std::to_string(i));
  return names;
}

Names joined(Names names, const Names& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

/// The last names, as broadcasting lines them up.
Names last_names(const Names& names, int count) { return {names.end() - count, names.end()}; }

void check_linear(const Op& op, const KeepMasks& masks) {
  const ValueId x = op.tensor("input"), w = op.tensor("weight"), bias = op.tensor("bias");
  if (masks.rank(w) != 2) return;
  const Names batch = batch_names(masks.rank(x) - 1);
  std::vector<Named> values = {
      {x, joined(batch, {"in"})}, {w, {"out", "in"}}, {op.outputs[0], joined(batch, {"out"})}};
  if (bias >= 0) values.push_back({bias, {"out"}});
  check_named(op, masks, values);
}

void check_product(const Op& op, const KeepMasks& masks) {
  auto operands = op.operands();
  const bool summand = operands.size() == 3;
  const ValueId a = operands[summand ? 1 : 0], b = operands[summand ? 2 : 1];
  const Names of_a = masks.rank(a) == 1 ? Names{"inner"}
                                        : joined(batch_names(masks.rank(a) - 2), {"row", "inner"});
  const Names of_b = masks.rank(b) == 1
                         ? Names{"inner"}
                         : joined(batch_names(masks.rank(b) - 2), {"inner", "column"});
  Names result = batch_names(std::max({masks.rank(a) - 2, masks.rank(b) - 2, 0}));
  if (masks.rank(a) > 1) result.push_back("row");
  if (masks.rank(b) > 1) result.push_back("column");
  std::vector<Named> values = {{a, of_a}, {b, of_b}, {op.outputs[0], result}};
  if (summand) values.push_back({operands[0], last_names(result, masks.rank(operands[0]))});
  check_named(op, masks, values);
}

/// The terms of one side of an einsum; an ellipsis stands for `batch` dimensions.
Names terms(const std::string& side, int batch) {
  Names names;
  for (size_t i = 0; i < side.size(); ++i) {
    if (side.compare(i, 3, "...") == 0) {
      names = joined(names, batch_names(batch));
      i += 2;
    } else if (side[i] != ' ') {
      names.emplace_back(1, side[i]);
    }
  }
  return names;
}

void check_einsum(const Op& op, const KeepMasks& masks) {
  const std::string equation = std::get<std::string>(op.arg("equation"));
  const size_t arrow = equation.find("->");
  if (arrow == std::string::npos) return;
  std::vector<Named> values;
  size_t start = 0;
  int batch = 0;
  for (ValueId value : op.tensors("tensors")) {
    const size_t end = std::min(equation.find(',', start), arrow);
    const std::string side = equation.substr(start, end - start);
    const int rest = masks.rank(value) - static_cast<int>(terms(side, 0).size());
    values.push_back({value, terms(side, rest)});
    batch = std::max(batch, rest);
    start = end + 1;
  }
  values.push_back({op.outputs[0], terms(equation.substr(arrow + 2), batch)});
  check_named(op, masks, values);
}

void check_attention(const Op& op, const KeepMasks& masks) {
  const ValueId query = op.tensor("query"), key = op.tensor("key"), value = op.tensor("value");
  const int rank = masks.rank(query);
  if (masks.rank(key) != rank || masks.rank(value) != rank) return;
  Names batch = batch_names(rank - 2), shared = batch;
  // Heads that serve several queries have an axis of their own; their number is checked elsewhere.
  const bool grouped = rank > 2 && masks.shape(key)[static_cast<size_t>(rank) - 3] !=
                                       masks.shape(query)[static_cast<size_t>(rank) - 3];
  if (grouped) {
    check_named(op, masks,
                {{key, joined(batch, {"key", ""})}, {value, joined(batch, {"key", ""})}});
    return;
  }
  std::vector<Named> values = {{query, joined(batch, {"query", "width"})},
                               {key, joined(batch, {"key", "width"})},
                               {value, joined(batch, {"key", "out"})},
                               {op.outputs[0], joined(batch, {"query", "out"})}};
  if (op.has("attn_mask")) {
    const ValueId mask = op.tensor("attn_mask");
    values.push_back({mask, last_names(joined(batch, {"query", "key"}), masks.rank(mask))});
  }
  check_named(op, masks, values);
}

/// The mask of a dimension that is (groups, columns) as a matrix; the other dimensions must agree.
at::Tensor by_group(const Op& op, const at::Tensor& mask, int dim, int64_t groups) {
  const at::Tensor flat = mask.movedim(dim, 0);
  if (flat.numel() != flat.size(0)) refuse(op, "channels differ along a dimension that is mixed");
  return flat.reshape({groups, -1});
}

/// Equal in all groups of which anything is kept.
void check_groups(const Op& op, const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor kept = a.any(1);
  if (!at::equal(kept, b.any(1))) refuse(op, "operands keep different groups");
  if (!at::equal(a.logical_and(kept.unsqueeze(1)), b.logical_and(kept.unsqueeze(1)))) {
    refuse(op, kDifferent);
  }
}

/// Names of spatial dimensions that the kernel covers at once; empty where it slides.
Names spatial_sums(const Op& op, const KeepMasks& masks, int channel) {
  const Shape &x = masks.shape(op.tensor("input")), &w = masks.shape(op.tensor("weight"));
  const auto padding = op.integers("padding");
  Names names;
  for (size_t i = 2; i < w.size(); ++i) {
    const bool whole = !op.boolean("transposed") && w[i] > 1 && padding[i - 2] == 0 &&
                       x[static_cast<size_t>(channel) + i - 1] == w[i];
    names.push_back(whole ? "sum" + std::to_string(i) : "");
  }
  return names;
}

void check_convolution(const Op& op, const KeepMasks& masks) {
  const ValueId x = op.tensor("input"), w = op.tensor("weight"), bias = op.tensor("bias");
  const int64_t groups = op.integer("groups");
  const bool transposed = op.boolean("transposed");
  const int channel = masks.rank(x) - masks.rank(w) + 1;
  if (groups == 1) {
    Names around = channel > 0 ? Names{"batch"} : Names{};
    const Names spatial(static_cast<size_t>(masks.rank(w)) - 2, "");
    const Names summed = spatial_sums(op, masks, channel);
    std::vector<Named> values = {
        {x, joined(joined(around, {"in"}), summed)},
        {w, joined(transposed ? Names{"in", "out"} : Names{"out", "in"}, summed)},
        {op.outputs[0], joined(joined(around, {"out"}), spatial)}};
    if (bias >= 0) values.push_back({bias, {"out"}});
    return check_named(op, masks, values);
  }
  const at::Tensor in = by_group(op, masks.along(x, channel), channel, groups);
  const at::Tensor out = by_group(op, masks.along(op.outputs[0], channel), channel, groups);
  const at::Tensor first = by_group(op, masks.along(w, 0), 0, groups);
  check_groups(op, transposed ? in : out, first);
  if (!at::equal(in.any(1), out.any(1))) refuse(op, "operands keep different groups");
  if (bias >= 0) check_groups(op, out, by_group(op, masks.along(bias, 0), 0, groups));
  // Columns of a weight: one list for all of dimension 0, or one for each of its positions.
  const at::Tensor columns = masks.along(w, 1).flatten(1);
  const at::Tensor other = transposed ? out : in;
  const at::Tensor listed = other.unsqueeze(1).expand({groups, first.size(1), other.size(1)});
  const at::Tensor read = first.reshape({-1}).unsqueeze(1);
  if (!same_under_broadcasting(columns.logical_and(read),
                               listed.reshape({-1, other.size(1)}).logical_and(read))) {
    refuse(op, kDifferent);
  }
}

/// All gates of a recurrent weight or bias keep the same units.
at::Tensor units(const Op& op, const KeepMasks& masks, ValueId value, int64_t gates) {
  const at::Tensor rows = by_group(op, masks.along(value, 0), 0, gates);
  if (!same_under_broadcasting(rows, rows.slice(0, 0, 1))) {
    refuse(op, "gates of a recurrent cell keep different units");
  }
  return rows[0];
}

void check_recurrent(const Op& op, const KeepMasks& masks) {
  if (op.overload != "input") return;
  const int64_t gates = op.kind == "aten::lstm" ? 4 : op.kind == "aten::gru" ? 3 : 1;
  const auto params = op.tensors("params");
  const int64_t cells = op.integer("num_layers") * (op.boolean("bidirectional") ? 2 : 1);
  const size_t each = params.size() / static_cast<size_t>(cells);
  const bool projects = each != (op.boolean("has_biases") ? 4U : 2U);
  for (size_t first = 0; first + each <= params.size(); first += each) {
    const at::Tensor own = units(op, masks, params[first], gates);
    for (size_t i = 1; i < each; ++i) {
      const ValueId value = params[first + i];
      const bool projection = projects && i + 1 == each;
      const at::Tensor met =
          projection ? masks.along(value, 1).reshape({-1}) : units(op, masks, value, gates);
      if (!at::equal(met, own)) refuse(op, kDifferent);
    }
    const at::Tensor state =
        projects ? masks.along(params[first + each - 1], 0).reshape({-1}) : own;
    if (!at::equal(masks.along(params[first + 1], 1).reshape({-1}), state)) {
      refuse(op, kDifferent);
    }
  }
}

/// Operands meet at equal positions under broadcasting.
void check_pointwise(const Op& op, const KeepMasks& masks) {
  const ValueId output = op.outputs.front();
  const Names names = batch_names(masks.rank(output));
  std::vector<Named> values = {{output, names}};
  for (ValueId operand : op.operands()) {
    if (masks.rank(operand) > masks.rank(output)) return;
    values.push_back({operand, last_names(names, masks.rank(operand))});
  }
  check_named(op, masks, values);
}

/// Vectors with a number for each channel meet dimension 1.
void check_channels(const Op& op, const KeepMasks& masks) {
  const auto operands = op.operands();
  Names names = batch_names(masks.rank(operands[0]));
  const std::string channel = names[names.size() > 1 ? 1 : 0];
  std::vector<Named> values = {{operands[0], names}, {op.outputs.front(), names}};
  for (size_t i = 1; i < operands.size(); ++i) {
    if (masks.rank(operands[i]) == 1) values.push_back({operands[i], {channel}});
  }
  check_named(op, masks, values);
}

/// Dimensions that are mixed stay whole.
void check_mixing(const Op& op, const KeepMasks& masks) {
  const ValueId input = op.operands().front();
  if (op.find("dim") == nullptr || !std::holds_alternative<Expr>(op.arg("dim"))) return;
  const int rank = masks.rank(input);
  const auto dim = static_cast<int>(op.integer("dim"));
  if (rank > 0 && !masks.along(input, dim < 0 ? dim + rank : dim).all().item<bool>()) {
    refuse(op, "a part of a dimension that is mixed is removed");
  }
}

using Check = void (*)(const Op&, const KeepMasks&);

const std::map<std::string, Check>& checks() {
  static const std::map<std::string, Check> all = [] {
    std::map<std::string, Check> map = {{"linear", check_linear},
                                        {"einsum", check_einsum},
                                        {"scaled_dot_product_attention", check_attention},
                                        {"convolution", check_convolution}};
    const auto add = [&map](std::initializer_list<const char*> kinds, Check check) {
      for (const char* kind : kinds) map[kind] = check;
    };
    add({"matmul", "bmm", "mm", "mv", "dot", "addmm", "baddbmm", "addmv"}, check_product);
    add({"lstm", "gru", "rnn_tanh", "rnn_relu"}, check_recurrent);
    add({"batch_norm", "instance_norm", "group_norm", "prelu"}, check_channels);
    add({"softmax", "log_softmax", "cumsum", "cumprod", "sort", "topk", "argmax", "argmin",
         "logsumexp"},
        check_mixing);
    add({"layer_norm", "rms_norm", "add",         "sub",         "rsub",       "mul",
         "div",        "maximum",  "minimum",     "where",       "addcmul",    "addcdiv",
         "pow",        "lerp",     "relu",        "relu6",       "gelu",       "silu",
         "mish",       "sigmoid",  "tanh",        "hardswish",   "hardtanh",   "elu",
         "leaky_relu", "softplus", "clamp",       "exp",         "log",        "sqrt",
         "rsqrt",      "neg",      "abs",         "square",      "erf",        "sin",
         "cos",        "dropout",  "gt",          "lt",          "ge",         "le",
         "eq",         "ne",       "masked_fill", "logical_and", "logical_or", "fmod",
         "remainder",  "atan2",    "hardsigmoid", "floor_divide"},
        check_pointwise);
    return map;
  }();
  return all;
}

}  // namespace

at::Tensor KeepMasks::along(ValueId value, int dim) const {
  const int array = combing_.dims[static_cast<size_t>(value)][static_cast<size_t>(dim)];
  if (array < 0) {
    Shape extents(shape(value).size(), 1);
    extents[static_cast<size_t>(dim)] = shape(value)[static_cast<size_t>(dim)];
    return at::ones({1}, at::kBool).expand(extents);
  }
  at::Tensor& mask = cache_[array];
  if (!mask.defined()) {
    const FormArray& forms = combing_.arrays[static_cast<size_t>(array)];
    std::vector<int64_t> kept;
    for (int32_t form : forms.entries) kept.push_back(sizes_.forms()[static_cast<size_t>(form)]);
    mask = at::tensor(at::ArrayRef<int64_t>(kept), at::kLong).to(at::kBool).view(forms.extents);
  }
  return mask;
}

void check_meeting(const Op& op, const KeepMasks& masks) {
  if (op.outputs.empty() || op.kind.rfind("aten::", 0) != 0) return;
  const auto found = checks().find(op.kind.substr(6));
  if (found != checks().end()) found->second(op, masks);
}

}  // namespace cpd
