#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace {

using Names = std::vector<std::string>;

/// Names of an operand of attention: batch and head dimensions from the last, then two of its own.
Names attention_names(int rank, const std::string& row, const std::string& column) {
  Names names;
  for (int i = rank - 2; i-- > 0;) names.push_back("batch" + std::to_string(i));
  names.push_back(row);
  names.push_back(column);
  return names;
}

Shape attention_shape(const Labels& query, const Labels& key, int64_t rows, int64_t columns) {
  const Labels& longer = query.rank() >= key.rank() ? query : key;
  const Labels& shorter = query.rank() >= key.rank() ? key : query;
  Shape shape = longer.shape;
  for (int i = 0; i < shorter.rank() - 2; ++i) {
    auto& size = shape[static_cast<size_t>(i + longer.rank() - shorter.rank())];
    size = std::max(size, shorter.shape[static_cast<size_t>(i)]);
  }
  shape[shape.size() - 2] = rows;
  shape[shape.size() - 1] = columns;
  return shape;
}

/// Grouped queries: every key and value head serves `times` query heads in a row.
Labels shared_heads(RuleContext& rule, const Labels& labels, int64_t times) {
  const int head = labels.rank() - 3;
  return rule.merge(rules::with_copies(rule, labels, head, times), head);
}

Labels with_mask(RuleContext& rule, const Labels& weights, ValueId mask) {
  for (int d = 0; d < rules::rank_of(rule, mask); ++d) rule.role(mask, d, Role::kAlong);
  return rule.meet({weights, rule.labels(mask)}, weights.shape);
}

/// softmax(q·kᵀ + mask)·v: contraction, meeting with the mask, mixing over the keys, contraction.
void comb_attention(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  const Labels query = rule.labels(op.tensor("query"));
  Labels key = rule.labels(op.tensor("key")), value = rule.labels(op.tensor("value"));
  if (op.find("enable_gqa") != nullptr && op.boolean("enable_gqa") && query.rank() >= 3) {
    const auto heads = [](const Labels& l) { return l.shape[l.shape.size() - 3]; };
    if (heads(key) != heads(query)) key = shared_heads(rule, key, heads(query) / heads(key));
    if (heads(value) != heads(query))
      value = shared_heads(rule, value, heads(query) / heads(value));
  }
  const Names query_names = attention_names(query.rank(), "query", "width");
  const Names key_names = attention_names(key.rank(), "key", "width");
  const int rank = std::max(query.rank(), key.rank());
  const Names weight_names = attention_names(rank, "query", "key");
  const int64_t queries = query.shape[query.shape.size() - 2];
  const int64_t keys = key.shape[key.shape.size() - 2];
  Labels weights = rule.contract({{query, query_names, -1}, {key, key_names, -1}}, weight_names,
                                 attention_shape(query, key, queries, keys));
  if (op.has("attn_mask")) weights = with_mask(rule, weights, op.tensor("attn_mask"));
  weights = rules::mixed(rule, weights, {weights.rank() - 1}, "a softmax over the keys");
  const ValueId output = op.outputs.front();
  const Labels result = rule.contract(
      {{weights, weight_names, -1}, {value, attention_names(value.rank(), "key", "out"), -1}},
      attention_names(std::max(rank, value.rank()), "query", "out"), rule.shape(output));
  rule.set(output, result);
}

}  // namespace

void add_attention_rules(Rules& rules) {
  rules.add("aten::scaled_dot_product_attention", {comb_attention});
}

}  // namespace cpd
