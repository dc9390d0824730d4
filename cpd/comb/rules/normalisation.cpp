#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace {

ValueId output_of(const Op& op) { return op.outputs.front(); }

/// Marks dimensions over which statistics are taken and aligns the others over them.
Labels normalised(RuleContext& rule, Labels labels, const std::vector<int>& dims) {
  for (int dim : dims) {
    rule.mark(labels.dims[static_cast<size_t>(dim)], Level::kStatistics);
    for (int d = 0; d < labels.rank(); ++d) {
      auto& array = labels.dims[static_cast<size_t>(d)];
      if (!rules::contains(dims, d) && array.varies(dim)) array = rule.align(array, dim);
    }
  }
  return labels;
}

/// Layer and RMS norm: weight and bias have the shape of the last dimensions.
void comb_trailing_norm(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  const auto operands = op.operands();
  const Labels input = rule.labels(operands.front());
  const int count = static_cast<int>(op.integers("normalized_shape").size());
  std::vector<Labels> meeting = {
      normalised(rule, input, rules::int_range(input.rank() - count, input.rank()))};
  for (size_t i = 1; i < operands.size(); ++i) {
    meeting.push_back(rule.labels(operands[i]));
    for (int d = 0; d < count; ++d) rule.role(operands[i], d, Role::kAlong);
  }
  rule.set(output_of(op), rule.meet(meeting, input.shape));
}

void rewrite_trailing_norm(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  const int count = static_cast<int>(op.integers("normalized_shape").size());
  const int rank = static_cast<int>(rewrite.dense().value(output_of(op)).shape.size());
  rules::own_sizes(rewrite, "normalized_shape", output_of(op), rank - count);
}

/// Meets the per-channel operands (all after the first) at dimension 1.
Labels with_channels(RuleContext& rule, const Labels& labels,
                     const std::vector<ValueId>& operands) {
  std::vector<Labels> meeting = {labels};
  for (size_t i = 1; i < operands.size(); ++i) {
    rule.role(operands[i], 0, Role::kAlong);
    meeting.push_back(rules::along(rule.labels(operands[i]), 1, labels.rank()));
  }
  return rule.meet(meeting, labels.shape);
}

/// Groups are rows, what is inside a group are columns that share their statistics.
void comb_group_norm(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  const Labels input = rule.labels(op.tensor("input"));
  const int64_t groups = op.integer("num_groups");
  Labels opened = rule.split(input, 1, groups, input.shape[1] / groups);
  rule.record("groups", opened);
  opened = normalised(rule, opened, rules::int_range(2, opened.rank()));
  const Labels merged = rule.merge(opened, 1);
  rule.set(output_of(op), with_channels(rule, merged, op.operands()));
}

void rewrite_group_norm(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  if (!rewrite.shrinks(output_of(op), 1)) return;
  rules::set_rows(rewrite, "num_groups", rewrite.recorded_size("groups", 1));
}

void comb_instance_norm(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  const Labels input = rule.labels(op.tensor("input"));
  const Labels result = normalised(rule, input, rules::int_range(2, input.rank()));
  rule.set(output_of(op), with_channels(rule, result, op.operands()));
}

/// v · g / ‖v‖, the norm over all dimensions but one.
void comb_weight_norm(RuleContext& rule) {
  const Op& op = rule.op();
  Labels direction = rule.labels(op.tensor("v"));
  const int kept = rules::dim_of(op, "dim", direction.rank());
  for (int d = 0; d < direction.rank(); ++d) {
    if (d == kept) continue;
    rule.mark(direction.dims[static_cast<size_t>(d)], Level::kOperand);
    auto& array = direction.dims[static_cast<size_t>(kept)];
    if (array.varies(d)) array = rule.align(array, d);
  }
  for (ValueId operand : op.operands()) {
    for (int d = 0; d < rules::rank_of(rule, operand); ++d) rule.role(operand, d, Role::kAlong);
  }
  const ValueId output = output_of(op);
  rule.set(output, rule.meet({direction, rule.labels(op.tensor("g"))}, rule.shape(output)));
}

}  // namespace

void add_normalisation_rules(Rules& rules) {
  rules.add_all({"aten::layer_norm", "aten::rms_norm"},
                {comb_trailing_norm, rewrite_trailing_norm});
  rules.add("aten::group_norm", {comb_group_norm, rewrite_group_norm});
  rules.add("aten::instance_norm", {comb_instance_norm});
  rules.add("aten::_weight_norm", {comb_weight_norm});
}

}  // namespace cpd
