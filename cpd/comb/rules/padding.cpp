#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace {

using rules::subject;

/// How many positions are added at the ends of a dimension; negative: removed.
struct Ends {
  int dim = 0;
  int64_t front = 0, back = 0;
};

/// The amounts of a padding op: pairs from the last dimension to the first.
std::vector<Ends> ends_of(const Op& op, const std::string& argument, int rank) {
  std::vector<Ends> ends;
  const auto amounts = op.integers(argument);
  for (size_t i = 0; i + 1 < amounts.size(); i += 2) {
    if (amounts[i] == 0 && amounts[i + 1] == 0) continue;
    ends.push_back({rank - 1 - static_cast<int>(i / 2), amounts[i], amounts[i + 1]});
  }
  return ends;
}

bool is_constant_mode(const Op& op) {
  if (op.kind != "aten::pad") return true;
  const auto* mode = std::get_if<std::string>(&op.arg("mode"));
  return mode == nullptr || *mode == "constant";
}

/// Labels of positions that a pad adds: fresh, in every row of a free dimension.
LabelArray added(RuleContext& rule, const LabelArray& array, int dim, int64_t count) {
  Shape extents = array.extents;
  extents[static_cast<size_t>(dim)] = count;
  const LabelArray fresh = rule.fresh(extents, PrimitiveKind::kCopy);
  rule.rectangle(fresh, dim);
  return fresh;
}

Labels padded(RuleContext& rule, const Labels& labels, const Ends& ends) {
  const auto d = static_cast<size_t>(ends.dim);
  Labels result = rule.align_others(labels, ends.dim);
  const int64_t extent = labels.shape[d];
  const int64_t begin = std::max<int64_t>(-ends.front, 0);
  const int64_t end = extent + std::min<int64_t>(ends.back, 0);
  if (begin > 0 && result.dims[d].varies(ends.dim)) {
    rule.rectangle(taken(result.dims[d], ends.dim, rules::positions(0, begin)), ends.dim);
  }
  if (begin > 0 || end < extent) {
    result = rules::take(rule, result, ends.dim, rules::positions(begin, end));
  }
  const int64_t kept = result.shape[d];
  result.shape[d] += std::max<int64_t>(ends.front, 0) + std::max<int64_t>(ends.back, 0);
  if (result.dims[d].none()) return result;
  std::vector<LabelArray> parts = {widened(result.dims[d], ends.dim, kept)};
  if (ends.front > 0) {
    parts.insert(parts.begin(), added(rule, parts.front(), ends.dim, ends.front));
  }
  if (ends.back > 0) parts.push_back(added(rule, parts.back(), ends.dim, ends.back));
  result.dims[d] = concatenated(parts, ends.dim);
  return result;
}

void comb_pad(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  for (const Ends& ends : ends_of(op, "pad", labels.rank())) {
    if (is_constant_mode(op)) {
      labels = padded(rule, labels, ends);
    } else {
      labels = rules::mixed(rule, labels, {ends.dim}, "its ends are repeated by a pad");
      labels.shape[static_cast<size_t>(ends.dim)] += ends.front + ends.back;
    }
  }
  rule.set(op.outputs.front(), labels);
}

/// Kept among the positions that the pad adds (in the output) or takes away (in the input).
int64_t kept_end(const RewriteContext& rewrite, const Op& op, int dim, int64_t amount, bool front) {
  const ValueId value = amount > 0 ? op.outputs.front() : subject(op);
  const int64_t extent = rewrite.dense().value(value).shape[static_cast<size_t>(dim)];
  const int64_t count = std::abs(amount);
  const int64_t begin = front ? 0 : extent - count;
  const int64_t kept = rewrite.count(value, dim, begin, begin + count);
  return amount > 0 ? kept : -kept;
}

void rewrite_pad(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  const ValueId input = subject(op), output = op.outputs.front();
  const int rank = static_cast<int>(rewrite.dense().value(input).shape.size());
  std::vector<Expr> amounts = std::get<std::vector<Expr>>(op.arg("pad"));
  for (const Ends& ends : ends_of(op, "pad", rank)) {
    if (!rewrite.shrinks(input, ends.dim) && !rewrite.shrinks(output, ends.dim)) continue;
    const auto at = static_cast<size_t>(2 * (rank - 1 - ends.dim));
    amounts[at] = Expr::constant(kept_end(rewrite, op, ends.dim, ends.front, true));
    amounts[at + 1] = Expr::constant(kept_end(rewrite, op, ends.dim, ends.back, false));
  }
  rewrite.op().set("pad", amounts);
}

/// Pads by repeating, reflecting or wrapping lock the dimensions that they lengthen.
void comb_repeating_pad(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const std::string argument = op.find("padding") != nullptr ? "padding" : "pad";
  for (const Ends& ends : ends_of(op, argument, labels.rank())) {
    labels = rules::mixed(rule, labels, {ends.dim}, "its ends are repeated by a pad");
    labels.shape[static_cast<size_t>(ends.dim)] += ends.front + ends.back;
  }
  rule.set(op.outputs.front(), labels);
}

}  // namespace

void add_padding_rules(Rules& rules) {
  rules.add_all({"aten::pad", "aten::constant_pad_nd"}, {comb_pad, rewrite_pad, true});
  rules.add_all({"aten::reflection_pad1d", "aten::reflection_pad2d", "aten::reflection_pad3d",
                 "aten::replication_pad1d", "aten::replication_pad2d", "aten::replication_pad3d",
                 "aten::_pad_circular"},
                {comb_repeating_pad});
}

}  // namespace cpd
