#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

/// Concatenates the labels of the op's tensors along `dim`, each after `shaped` has given it the
/// dimensions of the result.
template <typename Shaped>
void comb_parts(RuleContext& rule, int dim, Shaped shaped) {
  if (!rules::any_labelled(rule)) return;
  std::vector<Labels> parts;
  for (ValueId value : rule.op().tensors("tensors")) {
    if (rule.shape(value) == Shape{0}) continue;  // an empty tensor adds nothing to any shape
    parts.push_back(shaped(rule.labels(value)));
  }
  rule.set(rule.op().outputs.front(), rule.concatenate(parts, dim));
}

int result_dim(RuleContext& rule) {
  return rules::dim_of(rule.op(), "dim", rules::rank_of(rule, rule.op().outputs.front()));
}

void comb_cat(RuleContext& rule) {
  comb_parts(rule, result_dim(rule), [](const Labels& labels) { return labels; });
}

void comb_stack(RuleContext& rule) {
  const int dim = result_dim(rule);
  comb_parts(rule, dim, [dim](const Labels& labels) { return unsqueezed(labels, dim); });
}

void comb_hstack(RuleContext& rule) {
  const int dim = rules::rank_of(rule, rule.op().outputs.front()) == 1 ? 0 : 1;
  comb_parts(rule, dim, [](const Labels& l) { return l.rank() == 0 ? unsqueezed(l, 0) : l; });
}

Labels at_least_2d(Labels labels) {
  while (labels.rank() < 2) labels = unsqueezed(labels, 0);
  return labels;
}

void comb_vstack(RuleContext& rule) { comb_parts(rule, 0, at_least_2d); }

void comb_dstack(RuleContext& rule) {
  comb_parts(rule, 2, [](const Labels& labels) {
    const Labels flat = at_least_2d(labels);
    return flat.rank() == 2 ? unsqueezed(flat, 2) : flat;
  });
}

void comb_column_stack(RuleContext& rule) {
  comb_parts(rule, 1, [](Labels labels) {
    while (labels.rank() < 2) labels = unsqueezed(labels, labels.rank());
    return labels;
  });
}

}  // namespace

void add_concatenation_rules(Rules& rules) {
  rules.add_all({"aten::cat", "aten::concat", "aten::concatenate"}, {comb_cat, nullptr, true});
  rules.add("aten::stack", {comb_stack, nullptr, true});
  rules.add("aten::hstack", {comb_hstack, nullptr, true});
  rules.add_all({"aten::vstack", "aten::row_stack"}, {comb_vstack, nullptr, true});
  rules.add("aten::dstack", {comb_dstack, nullptr, true});
  rules.add("aten::column_stack", {comb_column_stack, nullptr, true});
}

}  // namespace cpd
