#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace {

/// The positions that a `slice_scatter` writes.
struct Written {
  int dim = 0;
  int64_t begin = 0, end = 0, step = 1, extent = 0;

  bool everything() const { return begin == 0 && end == extent && step == 1; }
};

int64_t bound(const Op& op, const std::string& name, int64_t extent, int64_t otherwise) {
  if (!op.has(name)) return otherwise;
  const int64_t at = op.integer(name);
  return std::clamp(at < 0 ? at + extent : at, int64_t{0}, extent);
}

Written written_by(const Op& op, const Shape& shape) {
  Written written;
  written.dim = rules::dim_of(op, "dim", static_cast<int>(shape.size()));
  written.extent = shape[static_cast<size_t>(written.dim)];
  written.begin = bound(op, "start", written.extent, 0);
  written.end = bound(op, "end", written.extent, written.extent);
  written.step = op.integer_or("step", 1);
  return written;
}

/// Two vectors of labels of which as many have to stay of the one as of the other.
void tie_counts(RuleContext& rule, const LabelArray& a, const LabelArray& b) {
  LabelArray both{{2, static_cast<int64_t>(a.entries.size())}, a.entries};
  both.entries.insert(both.entries.end(), b.entries.begin(), b.entries.end());
  rule.rectangle(both, 1);
}

/// Labels of the written dimension: the source's where it writes, the target's elsewhere. What is
/// overwritten and what overwrites it keep the same number, so that the slice stays the same.
LabelArray overwritten(RuleContext& rule, const Labels& target, const Labels& source,
                       const Written& written) {
  const auto d = static_cast<size_t>(written.dim);
  const int rank = target.rank();
  const auto where = rules::positions(written.begin, written.end, written.step);
  LabelArray all = explicit_along(rules::aligned_over_rows(rule, target, written.dim).dims[d], rank,
                                  written.dim, written.extent);
  const LabelArray part =
      explicit_along(rules::aligned_over_rows(rule, source, written.dim).dims[d], rank, written.dim,
                     source.shape[d]);
  LabelArray old = taken(all, written.dim, where);
  if (written.step != 1 || target.dims[d].none() || source.dims[d].none()) {
    rule.unify(old, part);
  } else {
    tie_counts(rule, old, part);
  }
  for (size_t i = 0; i < where.size(); ++i) {
    all.entries[static_cast<size_t>(where[i])] = part.entries[i];
  }
  return all;
}

void comb_slice_scatter(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  Labels target = rule.labels(op.tensor("self")), source = rule.labels(op.tensor("src"));
  const Written written = written_by(op, target.shape);
  if (written.everything()) return rule.set(op.outputs.front(), source);
  Labels result = target;
  for (int d = 0; d < target.rank(); ++d) {
    const auto at = static_cast<size_t>(d);
    if (d == written.dim) {
      result.dims[at] = overwritten(rule, target, source, written);
      continue;
    }
    result.dims[at] = rules::met_beside(rule, target.dims[at], source.dims[at], written.dim);
  }
  rule.set(op.outputs.front(), result);
}

/// Replaces the op by its source in the target's type where their sizes came to differ: the
/// target's elements are all overwritten.
void rewrite_overwritten(RewriteContext& rewrite) {
  const ValueId self = rewrite.dense_op().tensor("self"), source = rewrite.dense_op().tensor("src");
  bool equal = true;
  const int rank = static_cast<int>(rewrite.dense().value(self).shape.size());
  for (int d = 0; d < rank; ++d) equal = equal && rewrite.size(self, d) == rewrite.size(source, d);
  if (equal) return;
  Op& op = rewrite.op();
  op.kind = "aten::type_as";
  op.overload = "";
  op.args = {{"self", ValueRef{source}}, {"other", ValueRef{self}}};
}

void rewrite_slice_scatter(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  const ValueId self = op.tensor("self");
  const Written written = written_by(op, rewrite.dense().value(self).shape);
  if (written.everything()) return rewrite_overwritten(rewrite);
  if (!rewrite.shrinks(self, written.dim)) return;
  if (written.step != 1) return;  // positions in steps were tied one by one: see the rule
  const int64_t begin = rewrite.count(self, written.dim, 0, written.begin);
  rules::set_integer(rewrite, "start", begin);
  rules::set_integer(rewrite, "end",
                     begin + rewrite.count(self, written.dim, written.begin, written.end));
}

/// Writing into steps of a dimension has no smaller form that fits every choice.
void comb_scatter_of_slice(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId self = op.tensor("self");
  const Written written = written_by(op, rule.shape(self));
  if (written.step != 1) rule.lock(self, written.dim, "every other position is overwritten");
  comb_slice_scatter(rule);
}

/// One position of a dimension is written: it stays.
void comb_select_scatter(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  Labels target = rule.labels(op.tensor("self"));
  const int dim = rules::dim_of(op, "dim", target.rank());
  const int64_t extent = target.shape[static_cast<size_t>(dim)];
  const int64_t index = (op.integer("index") + extent) % extent;
  const auto d = static_cast<size_t>(dim);
  rule.lock(taken(target.dims[d], dim, {index}), "this position is overwritten");
  const Labels source = unsqueezed(rule.labels(op.tensor("src")), dim);
  target = rule.align_others(target, dim);
  for (size_t at = 0; at < target.dims.size(); ++at) {
    if (at != d) rule.unify(target.dims[at], source.dims[at]);
  }
  rule.set(op.outputs.front(), target);
}

void rewrite_select_scatter(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  const ValueId self = op.tensor("self");
  const Shape& shape = rewrite.dense().value(self).shape;
  const int dim = rules::dim_of(op, "dim", static_cast<int>(shape.size()));
  if (!rewrite.shrinks(self, dim)) return;
  const int64_t extent = shape[static_cast<size_t>(dim)];
  const int64_t index = (op.integer("index") + extent) % extent;
  rules::set_integer(rewrite, "index", rewrite.count(self, dim, 0, index));
}

/// The target of a copy gives shape and type only; where it broadcasts, its sizes count.
void comb_copy(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId self = op.tensor("self"), source = op.tensor("src");
  if (rule.shape(self) == rule.shape(source)) {
    return rule.set(op.outputs.front(), rule.labels(source));
  }
  rule.set(op.outputs.front(),
           rule.meet({rule.labels(self), rule.labels(source)}, rule.shape(self)));
}

void rewrite_copy(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  const Graph& graph = rewrite.dense();
  if (graph.value(op.tensor("self")).shape == graph.value(op.tensor("src")).shape) {
    rewrite_overwritten(rewrite);
  }
}

}  // namespace

void add_writing_rules(Rules& rules) {
  rules.add("aten::slice_scatter", {comb_scatter_of_slice, rewrite_slice_scatter, true});
  rules.add("aten::select_scatter", {comb_select_scatter, rewrite_select_scatter, true});
  rules.add("aten::copy", {comb_copy, rewrite_copy, true});
}

}  // namespace cpd
