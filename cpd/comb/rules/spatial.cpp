#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

/// Locks the last `count` dimensions, over which the op slides or interpolates; the others pass.
void comb_spatial(RuleContext& rule, int count) {
  const Op& op = rule.op();
  Labels labels = rule.labels(rules::subject(op));
  if (!rules::labelled(labels)) return;
  labels = rules::mixed(rule, labels, rules::int_range(labels.rank() - count, labels.rank()),
                        "a window slides over it");
  for (ValueId output : op.outputs) {
    if (output < 0) continue;
    labels.shape = rule.shape(output);
    rule.set(output, labels);
  }
}

Rule spatial(int count) {
  return {[count](RuleContext& rule) { comb_spatial(rule, count); }};
}

/// Values go back to where the indices say: both have the same channels.
Rule unpooling(int count) {
  return {[count](RuleContext& rule) {
    const auto operands = rule.op().operands();
    const Labels met = rule.meet({rule.labels(operands.at(0)), rule.labels(operands.at(1))},
                                 rule.shape(operands.at(0)));
    if (rules::labelled(met)) comb_spatial(rule, count);
  }};
}

/// Samples at the places that a grid names; the grid's numbers are coordinates.
Rule sampling(int count) {
  return {[count](RuleContext& rule) {
    rule.lock_all(rule.op().operands().at(1), "coordinates of samples");
    rule.lock(rules::subject(rule.op()), 0, "a grid for each sample");
    comb_spatial(rule, count);
  }};
}

/// Regions of interest: channels pass, samples and space do not.
void comb_regions(RuleContext& rule) {
  const Op& op = rule.op();
  const auto operands = op.operands();
  rule.lock_all(operands.at(1), "coordinates of regions");
  Labels labels = rule.labels(operands.at(0));
  labels = rules::mixed(rule, labels, {0, 2, 3}, "regions are cut out of it");
  labels.shape = rule.shape(op.outputs.front());
  rule.set(op.outputs.front(), labels);
}

void add_pools(Rules& rules, int count) {
  const std::string d = std::to_string(count) + "d";
  rules.add_all({"aten::max_pool" + d, "aten::max_pool" + d + "_with_indices", "aten::avg_pool" + d,
                 "aten::adaptive_avg_pool" + d, "aten::adaptive_max_pool" + d,
                 "aten::upsample_nearest" + d, "aten::_upsample_nearest_exact" + d},
                spatial(count));
  if (count == 1) return;  // LibTorch has these for planes and volumes only
  rules.add_all({"aten::_adaptive_avg_pool" + d, "aten::fractional_max_pool" + d}, spatial(count));
  rules.add("aten::max_unpool" + d, unpooling(count));
}

}  // namespace

void add_spatial_rules(Rules& rules) {
  for (int count = 1; count <= 3; ++count) add_pools(rules, count);
  rules.add("aten::upsample_linear1d", spatial(1));
  rules.add_all({"aten::upsample_bilinear2d", "aten::upsample_bicubic2d",
                 "aten::_upsample_bilinear2d_aa", "aten::_upsample_bicubic2d_aa"},
                spatial(2));
  rules.add("aten::upsample_trilinear3d", spatial(3));
  rules.add_all({"aten::grid_sampler", "aten::grid_sampler_2d"}, sampling(2));
  rules.add("aten::grid_sampler_3d", sampling(3));
  rules.add_all({"aten::affine_grid_generator", "torchvision::nms"}, {[](RuleContext& rule) {
                  rules::lock_operands(rule, "coordinates are computed from it");
                }});
  rules.add_all({"torchvision::roi_align", "torchvision::roi_pool"}, {comb_regions});
}

}  // namespace cpd
