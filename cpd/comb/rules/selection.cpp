#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace {

using rules::dim_of;
using rules::rank_of;
using rules::subject;

const Shape& shape_of(const Graph& graph, ValueId value) { return graph.value(value).shape; }

/// A range of positions along one dimension.
struct Range {
  ValueId input = -1;
  int dim = 0;
  int64_t begin = 0, end = 0, step = 1;
  int64_t extent = 0;  ///< of the input

  std::vector<int64_t> positions() const { return rules::positions(begin, end, step); }
  bool everything() const { return begin == 0 && end == extent && step == 1; }
};

int64_t bound(const Op& op, const std::string& name, int64_t extent, int64_t otherwise) {
  if (!op.has(name)) return otherwise;
  const int64_t at = op.integer(name);
  return std::clamp(at < 0 ? at + extent : at, int64_t{0}, extent);
}

Range slice_range(const Graph& graph, const Op& op) {
  Range range;
  range.input = subject(op);
  const Shape& shape = shape_of(graph, range.input);
  range.dim = dim_of(op, "dim", static_cast<int>(shape.size()));
  range.extent = shape[static_cast<size_t>(range.dim)];
  range.begin = bound(op, "start", range.extent, 0);
  range.end = std::max(range.begin, bound(op, "end", range.extent, range.extent));
  range.step = op.integer_or("step", 1);
  return range;
}

Range narrow_range(const Graph& graph, const Op& op) {
  Range range;
  range.input = subject(op);
  const Shape& shape = shape_of(graph, range.input);
  range.dim = dim_of(op, "dim", static_cast<int>(shape.size()));
  range.extent = shape[static_cast<size_t>(range.dim)];
  range.begin = op.integer("start");
  if (range.begin < 0) range.begin += range.extent;
  range.end = range.begin + op.integer("length");
  return range;
}

/// What stands in front of a slice of a dimension with rows of its own: as long in every row.
void register_head(RuleContext& rule, const Labels& labels, int dim, int64_t begin) {
  const auto& array = labels.dims[static_cast<size_t>(dim)];
  if (begin > 0 && array.varies(dim)) {
    rule.rectangle(taken(array, dim, rules::positions(0, begin)), dim);
  }
}

void comb_range(RuleContext& rule, const Range& range) {
  Labels labels = rule.labels(range.input);
  if (!rules::labelled(labels)) return;
  if (range.step == 1) {
    register_head(rule, labels, range.dim, range.begin);
  } else {
    labels = rules::aligned_over_rows(rule, labels, range.dim);
  }
  if (!range.everything()) labels = rules::take(rule, labels, range.dim, range.positions());
  rule.set(rule.op().outputs.front(), labels);
}

void rewrite_slice(RewriteContext& rewrite) {
  const Range range = slice_range(rewrite.dense(), rewrite.dense_op());
  if (!rewrite.shrinks(range.input, range.dim)) return;
  if (range.step != 1) {
    return rules::rewrite_selection(rewrite, range.input, range.dim, range.positions());
  }
  const int64_t begin = rewrite.count(range.input, range.dim, 0, range.begin);
  rules::set_integer(rewrite, "start", begin);
  if (range.end == range.extent) return rules::set_integer(rewrite, "end", INT64_MAX);
  const int64_t length = rewrite.count(range.input, range.dim, range.begin, range.end);
  rules::set_integer(rewrite, "end", begin + length);
}

void rewrite_narrow(RewriteContext& rewrite) {
  const Range range = narrow_range(rewrite.dense(), rewrite.dense_op());
  if (!rewrite.shrinks(range.input, range.dim)) return;
  rules::set_integer(rewrite, "start", rewrite.count(range.input, range.dim, 0, range.begin));
  rules::set_integer(rewrite, "length",
                     rewrite.count(range.input, range.dim, range.begin, range.end));
}

/// The position that a `select` reads.
Range selected(const Graph& graph, const Op& op) {
  Range range;
  range.input = subject(op);
  const Shape& shape = shape_of(graph, range.input);
  range.dim = dim_of(op, "dim", static_cast<int>(shape.size()));
  range.extent = shape[static_cast<size_t>(range.dim)];
  range.begin = op.integer("index");
  if (range.begin < 0) range.begin += range.extent;
  range.end = range.begin + 1;
  return range;
}

void comb_select(RuleContext& rule) {
  const Range range = selected(rule.graph(), rule.op());
  const Labels labels = rule.labels(range.input);
  if (!rules::labelled(labels)) return;
  register_head(rule, labels, range.dim, range.begin);
  rule.set(rule.op().outputs.front(), rules::select(rule, labels, range.dim, range.begin));
}

void rewrite_select(RewriteContext& rewrite) {
  const Range range = selected(rewrite.dense(), rewrite.dense_op());
  if (!rewrite.shrinks(range.input, range.dim)) return;
  rules::set_integer(rewrite, "index", rewrite.count(range.input, range.dim, 0, range.begin));
}

void comb_unbind(RuleContext& rule) {
  const Op& op = rule.op();
  const Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const int dim = dim_of(op, "dim", labels.rank());
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    if (op.outputs[i] < 0) continue;
    rule.set(op.outputs[i], rules::select(rule, labels, dim, static_cast<int64_t>(i)));
  }
}

/// The dimension along which an op cuts its operand into its outputs.
int cut_dim(const Op& op, int rank) {
  if (op.find("dim") != nullptr) return dim_of(op, "dim", rank);
  if (op.kind == "aten::vsplit") return 0;
  if (op.kind == "aten::dsplit") return 2;
  return rank == 1 ? 0 : 1;  // hsplit
}

/// Sizes of the outputs say where the pieces are, however the op's arguments do.
void comb_split(RuleContext& rule) {
  const Op& op = rule.op();
  const Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const int dim = cut_dim(op, labels.rank());
  int64_t begin = 0;
  for (ValueId output : op.outputs) {
    const int64_t end = begin + rule.shape(output)[static_cast<size_t>(dim)];
    const bool whole = end - begin == labels.shape[static_cast<size_t>(dim)];
    register_head(rule, labels, dim, begin);
    rule.set(output, whole ? labels : rules::take(rule, labels, dim, rules::positions(begin, end)));
    begin = end;
  }
}

void rewrite_split(RewriteContext& rewrite) {
  const Op dense = rewrite.dense_op();
  const ValueId input = subject(dense);
  const int dim = cut_dim(dense, static_cast<int>(shape_of(rewrite.dense(), input).size()));
  if (!rewrite.shrinks(input, dim)) return;
  std::vector<Expr> sizes;
  int64_t begin = 0;
  for (ValueId output : dense.outputs) {
    const int64_t end = begin + shape_of(rewrite.dense(), output)[static_cast<size_t>(dim)];
    sizes.push_back(Expr::constant(rewrite.count(input, dim, begin, end)));
    begin = end;
  }
  Op& op = rewrite.op();
  op.kind = "aten::split_with_sizes";
  op.overload = "";
  op.args = {
      {"self", ValueRef{input}}, {"split_sizes", sizes}, {"dim", Expr::constant(int64_t{dim})}};
}

std::vector<int> flipped_dims(const Op& op, int rank) {
  if (op.kind == "aten::flipud") return {0};
  if (op.kind == "aten::fliplr") return {1};
  return rules::dims_of(op, "dims", rank);
}

void comb_flip(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  for (int dim : flipped_dims(op, labels.rank())) {
    auto order = rules::positions(0, labels.shape[static_cast<size_t>(dim)]);
    std::reverse(order.begin(), order.end());
    labels = taken(labels, dim, order);
  }
  rule.set(op.outputs.front(), labels);
}

/// A dimension's positions after a roll by `shift`.
std::vector<int64_t> rolled(int64_t extent, int64_t shift) {
  std::vector<int64_t> result;
  for (int64_t at = 0; at < extent; ++at) {
    result.push_back(((at - shift) % extent + extent) % extent);
  }
  return result;
}

bool rolls_all_elements(const Op& op) {
  const auto* dims = std::get_if<std::vector<Expr>>(&op.arg("dims"));
  return dims == nullptr || dims->empty();
}

std::vector<int64_t> shifts_of(const Op& op) {
  if (std::holds_alternative<Expr>(op.arg("shifts"))) return {op.integer("shifts")};
  return op.integers("shifts");
}

void comb_roll(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  if (rolls_all_elements(op)) return rules::lock_operands(rule, "elements roll across dimensions");
  const auto dims = rules::dims_of(op, "dims", labels.rank());
  const auto shifts = shifts_of(op);
  for (size_t i = 0; i < dims.size(); ++i) {
    labels = rules::aligned_over_rows(rule, labels, dims[i]);
    labels = taken(labels, dims[i], rolled(labels.shape[static_cast<size_t>(dims[i])], shifts[i]));
  }
  rule.set(op.outputs.front(), labels);
}

/// The last `shift` positions come to the front: as many as of them are kept.
void rewrite_roll(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  if (rolls_all_elements(op)) return;
  const ValueId input = subject(op);
  const Shape& shape = shape_of(rewrite.dense(), input);
  const auto dims = rules::dims_of(op, "dims", static_cast<int>(shape.size()));
  if (!std::holds_alternative<std::vector<Expr>>(op.arg("shifts"))) return;
  std::vector<Expr> owned = std::get<std::vector<Expr>>(op.arg("shifts"));
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!rewrite.shrinks(input, dims[i])) continue;
    const int64_t extent = shape[static_cast<size_t>(dims[i])];
    const int64_t shift = ((owned[i].dense_int() % extent) + extent) % extent;
    owned[i] = Expr::constant(rewrite.count(input, dims[i], extent - shift, extent));
  }
  rewrite.op().set("shifts", owned);
}

/// Channels as (group, column) transposed: where each output channel comes from.
std::vector<int64_t> shuffled(int64_t channels, int64_t groups) {
  std::vector<int64_t> result;
  const int64_t columns = channels / groups;
  for (int64_t at = 0; at < channels; ++at) {
    result.push_back((at % groups) * columns + at / groups);
  }
  return result;
}

void comb_channel_shuffle(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  labels = rules::aligned_over_rows(rule, labels, 1);
  rule.set(op.outputs.front(), taken(labels, 1, shuffled(labels.shape[1], op.integer("groups"))));
}

void rewrite_channel_shuffle(RewriteContext& rewrite) {
  const Op op = rewrite.dense_op();
  const ValueId input = subject(op);
  if (!rewrite.shrinks(input, 1)) return;
  const int64_t channels = shape_of(rewrite.dense(), input)[1];
  rules::rewrite_selection(rewrite, input, 1, shuffled(channels, op.integer("groups")));
}

}  // namespace

void add_selection_rules(Rules& rules) {
  rules.add("aten::slice", {[](RuleContext& r) { comb_range(r, slice_range(r.graph(), r.op())); },
                            rewrite_slice, true});
  rules.add_all({"aten::narrow", "aten::narrow_copy"},
                {[](RuleContext& r) { comb_range(r, narrow_range(r.graph(), r.op())); },
                 rewrite_narrow, true});
  rules.add("aten::select", {comb_select, rewrite_select, true});
  rules.add("aten::unbind", {comb_unbind, nullptr, true});
  rules.add_all({"aten::split", "aten::split_with_sizes", "aten::chunk", "aten::tensor_split",
                 "aten::unsafe_split", "aten::unsafe_split_with_sizes", "aten::unsafe_chunk",
                 "aten::hsplit", "aten::vsplit", "aten::dsplit"},
                {comb_split, rewrite_split, true});
  rules.add_all({"aten::flip", "aten::fliplr", "aten::flipud"}, {comb_flip, nullptr, true});
  rules.add("aten::roll", {comb_roll, rewrite_roll, true});
  rules.add_all({"aten::channel_shuffle", "aten::native_channel_shuffle"},
                {comb_channel_shuffle, rewrite_channel_shuffle, true});
}

}  // namespace cpd
