#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

/// A tensor filled with one value: any of its positions can go, so each dimension whose size the
/// network fixes gets fresh labels. Sizes that follow the inputs stay.
void comb_filled(RuleContext& rule) {
  const ValueId output = rule.op().outputs.front();
  const auto* sizes = std::get_if<std::vector<Expr>>(&rule.op().arg("size"));
  if (sizes == nullptr) return;
  Labels labels = unlabelled(rule.shape(output));
  for (size_t d = 0; d < labels.shape.size() && d < sizes->size(); ++d) {
    const Expr& size = (*sizes)[d];
    if (labels.shape[d] <= 1 || !size.is_constant()) continue;
    Shape extents(labels.shape.size(), 1);
    extents[d] = labels.shape[d];
    labels.dims[d] = rule.fresh(extents, PrimitiveKind::kCopy);
  }
  rule.set(output, labels);
}

void rewrite_filled(RewriteContext& rewrite) {
  rules::own_sizes(rewrite, "size", rewrite.dense_op().outputs.front(), 0);
}

}  // namespace

void add_factory_rules(Rules& rules) {
  rules.add_all(
      {"aten::zeros", "aten::ones", "aten::full", "aten::empty", "aten::rand", "aten::randn",
       "aten::new_zeros", "aten::new_ones", "aten::new_full", "aten::new_empty"},
      {comb_filled, rewrite_filled});
  // Numbers in order: a position says what the number is, so none can go.
  rules.add_all({"aten::arange", "aten::linspace", "aten::eye", "aten::randint", "aten::randperm",
                 "aten::scalar_tensor", "aten::tensor"},
                {[](RuleContext&) {}});
}

}  // namespace cpd
