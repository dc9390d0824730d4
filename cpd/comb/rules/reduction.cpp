#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace rules {

/// All operands meet, if there are two of them (defined with the elementwise rules).
void comb_two_operands(RuleContext& rule);

}  // namespace rules

namespace {

using rules::subject;

/// The labels that are left when `dims` are reduced: survivors are aligned over them.
Labels reduced(RuleContext& rule, Labels labels, std::vector<int> dims, bool keep) {
  std::sort(dims.begin(), dims.end());
  for (int dim : dims) {
    for (int d = 0; d < labels.rank(); ++d) {
      auto& array = labels.dims[static_cast<size_t>(d)];
      if (!rules::contains(dims, d) && array.varies(dim)) array = rule.align(array, dim);
    }
  }
  for (int dim : dims) labels.dims[static_cast<size_t>(dim)] = {};
  for (size_t i = dims.size(); i-- > 0;) {
    labels = rules::dropped(labels, dims[i]);
    if (keep) labels = unsqueezed(labels, dims[i]);
  }
  return labels;
}

bool keeps_dims(const Op& op) { return op.find("keepdim") != nullptr && op.boolean("keepdim"); }

bool is_read(const Graph& graph, ValueId value) {
  for (const auto& op : graph.ops) {
    const auto operands = op.operands();
    if (std::find(operands.begin(), operands.end(), value) != operands.end()) return true;
  }
  const auto outputs = graph.output_values();
  return std::find(outputs.begin(), outputs.end(), value) != outputs.end();
}

/// Reduces over the dimensions that the op names (all if it names none) after `treat` has been
/// given each of their arrays.
template <typename Treat>
void reduce(RuleContext& rule, Treat treat) {
  const Op& op = rule.op();
  const Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const auto dims = rules::dims_of(op, "dim", labels.rank());
  for (int dim : dims) treat(labels.dims[static_cast<size_t>(dim)]);
  rules::set_all(rule, reduced(rule, labels, dims, keeps_dims(op)));
}

Rule marking(Level level) {
  return {[level](RuleContext& rule) {
    reduce(rule, [&](const LabelArray& array) { rule.mark(array, level); });
  }};
}

/// Reductions of which the result says nothing that a smaller one could repeat.
Rule locking(const std::string& reason) {
  return {[reason](RuleContext& rule) {
    reduce(rule, [&](const LabelArray& array) { rule.lock(array, reason); });
  }};
}

/// `max` and `min`: of two tensors, of all elements, or along a dimension with the positions.
void comb_extreme(RuleContext& rule) {
  const Op& op = rule.op();
  if (op.overload == "other") return rules::comb_two_operands(rule);
  const bool where =
      op.outputs.size() > 1 && op.outputs[1] >= 0 && is_read(rule.graph(), op.outputs[1]);
  reduce(rule, [&](const LabelArray& array) {
    if (where)
      rule.lock(array, "positions of extremes are read");
    else
      rule.mark(array, Level::kStatistics);
  });
}

/// Two operands meet, then one dimension is summed without weights.
void comb_similarity(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const auto values = rule.op().operands();
  const Labels a = rule.labels(values.at(0)), b = rule.labels(values.at(1));
  Shape shape = a.rank() >= b.rank() ? a.shape : b.shape;
  if (a.rank() != b.rank()) return rules::lock_operands(rule, "operands of different rank");
  for (size_t d = 0; d < shape.size(); ++d) shape[d] = std::max(a.shape[d], b.shape[d]);
  const Labels met = rule.meet({a, b}, shape);
  const int dim = rule.op().find("dim") != nullptr ? rules::dim_of(rule.op(), "dim", met.rank())
                                                   : met.rank() - 1;
  rule.mark(met.dims[static_cast<size_t>(dim)], Level::kOperand);
  rules::set_all(rule, reduced(rule, met, {dim}, keeps_dims(rule.op())));
}

}  // namespace

void add_reduction_rules(Rules& rules) {
  rules.add_all({"aten::sum", "aten::nansum", "aten::norm", "aten::linalg_vector_norm",
                 "aten::frobenius_norm", "aten::linalg_norm", "aten::count_nonzero"},
                marking(Level::kOperand));
  rules.add_all(
      {"aten::mean", "aten::nanmean", "aten::var", "aten::std", "aten::var_mean", "aten::std_mean",
       "aten::amax", "aten::amin", "aten::aminmax", "aten::any", "aten::all"},
      marking(Level::kStatistics));
  rules.add_all({"aten::argmax", "aten::argmin", "aten::prod", "aten::logsumexp", "aten::median",
                 "aten::nanmedian", "aten::mode", "aten::kthvalue", "aten::quantile"},
                locking("its positions are compared or multiplied"));
  rules.add_all({"aten::max", "aten::min"}, {comb_extreme});
  rules.add_all({"aten::cosine_similarity", "aten::pairwise_distance"}, {comb_similarity});
}

}  // namespace cpd
