#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

using rules::subject;
using rules::with_rank;

ValueId output_of(const Op& op) { return op.outputs.front(); }

/// Is the size of the output's dimension fixed by the network? Sizes of a list line up at the end.
bool fixed_size(const Op& op, const std::string& argument, size_t dim, size_t rank) {
  const auto& sizes = std::get<std::vector<Expr>>(op.arg(argument));
  const size_t missing = rank - sizes.size();
  return dim >= missing && sizes[dim - missing].is_constant();
}

/// Repeats dimensions of size 1: copies where the network fixes how many, no labels where the
/// inputs do. Copies are free over the labels that the operand has on their left.
Labels repeated_ones(RuleContext& rule, const Labels& labels, const Shape& shape,
                     const std::string& argument) {
  Labels result = labels;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (labels.shape[d] != 1 || shape[d] == 1) continue;
    result.shape[d] = shape[d];
    const bool fixed = fixed_size(rule.op(), argument, d, shape.size());
    if (fixed) result.dims[d] = rules::copies(rule, labels, static_cast<int>(d), shape[d]);
  }
  return result;
}

void comb_expand(RuleContext& rule) {
  const ValueId output = output_of(rule.op());
  const Shape& shape = rule.shape(output);
  const Labels labels = with_rank(rule.labels(subject(rule.op())), shape.size());
  rule.set(output, repeated_ones(rule, labels, shape, "size"));
}

void rewrite_expand(RewriteContext& rewrite) {
  rules::own_sizes(rewrite, "size", output_of(rewrite.dense_op()), 0);
}

std::string repeats_argument(const Op& op) { return op.kind == "aten::tile" ? "dims" : "repeats"; }

/// Labels of a longer dimension are laid out as often as it is repeated.
void comb_repeat(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId output = output_of(op);
  const Shape& shape = rule.shape(output);
  Labels labels = with_rank(rule.labels(subject(op)), shape.size());
  for (size_t d = 0; d < shape.size(); ++d) {
    const int64_t extent = labels.shape[d];
    if (extent == 1 || shape[d] == extent) continue;
    std::vector<int64_t> tiled;
    for (int64_t at = 0; at < shape[d]; ++at) tiled.push_back(at % extent);
    labels = taken(labels, static_cast<int>(d), tiled);
  }
  rule.set(output, repeated_ones(rule, labels, shape, repeats_argument(op)));
}

void rewrite_repeat(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  const std::string argument = repeats_argument(op);
  const Shape& input = rewrite.dense().value(subject(op)).shape;
  const size_t rank = rewrite.dense().value(output_of(op)).shape.size();
  std::vector<Expr> times = std::get<std::vector<Expr>>(op.arg(argument));
  for (size_t i = 0; i < times.size(); ++i) {
    const size_t dim = rank - times.size() + i;
    const size_t missing = rank - input.size();
    const bool one = dim < missing || input[dim - missing] == 1;
    if (one) times[i] = rewrite.owned(times[i], output_of(op), static_cast<int>(dim));
  }
  rewrite.op().set(argument, times);
}

/// Each position several times in a row: a dimension of copies behind it, merged.
void comb_repeat_interleave(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId output = output_of(op);
  Labels labels = rule.labels(subject(op));
  if (op.overload != "self_int") {
    return rules::lock_operands(rule, "positions repeat as often as data says");
  }
  if (!op.has("dim")) {
    int64_t count = 1;
    for (int64_t extent : labels.shape) count *= extent;
    labels = rule.reshape(labels, {count});
  }
  const int dim = op.has("dim") ? rules::dim_of(op, "dim", labels.rank()) : 0;
  const int64_t times = op.integer("repeats");
  if (times == 1) return rule.set(output, labels);
  const Labels opened = rules::with_copies(rule, labels, dim, times);
  rule.record("copies", opened);
  rule.set(output, rule.merge(opened, dim));
}

void rewrite_repeat_interleave(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  if (op.overload != "self_int" || op.integer("repeats") == 1) return;
  const int rank = static_cast<int>(rewrite.dense().value(subject(op)).shape.size());
  const int dim = op.has("dim") ? rules::dim_of(op, "dim", rank) : 0;
  rules::set_integer(rewrite, "repeats", rewrite.recorded_size("copies", dim + 1));
}

/// Every output has its own vector along one dimension; the others' sizes come from theirs.
void comb_meshgrid(RuleContext& rule) {
  const Op& op = rule.op();
  const auto vectors = op.tensors("tensors");
  const bool swapped = vectors.size() > 1 && op.find("indexing") != nullptr &&
                       std::get<std::string>(op.arg("indexing")) == "xy";
  Labels labels = unlabelled(rule.shape(op.outputs.front()));
  for (size_t i = 0; i < vectors.size(); ++i) {
    const size_t dim = swapped && i < 2 ? 1 - i : i;
    const Labels vector = rule.labels(vectors[i]);
    if (vector.rank() != 1) continue;
    labels.dims[dim] = rules::along(vector, static_cast<int>(dim), labels.rank()).dims[dim];
  }
  rules::set_all(rule, labels);
}

}  // namespace

void add_repetition_rules(Rules& rules) {
  rules.add_all({"aten::expand", "aten::broadcast_to", "aten::expand_copy"},
                {comb_expand, rewrite_expand, true});
  rules.add_all({"aten::repeat", "aten::tile"}, {comb_repeat, rewrite_repeat, true});
  rules.add("aten::repeat_interleave", {comb_repeat_interleave, rewrite_repeat_interleave, true});
  rules.add("aten::meshgrid", {comb_meshgrid, nullptr, true});
}

}  // namespace cpd
