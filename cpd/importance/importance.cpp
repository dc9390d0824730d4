#include <cpd/core/error.h>
#include <cpd/importance/curvature.h>
#include <cpd/importance/importance.h>
#include <cpd/importance/statistics.h>
#include <cpd/importance/weight_derivatives.h>

#include <algorithm>
#include <cmath>

namespace cpd {

Importance::Importance(const char* known) : Importance(find_importance(known)) {}
Importance::Importance(const std::string& known) : Importance(find_importance(known)) {}

std::vector<Importance> importances() {
  return {{"random", score_random},
          {"l1", score_l1},
          {"l2", score_l2},
          {"fpgm", score_fpgm},
          {"bn_scale", score_bn_scale},
          {"taylor", score_taylor, Needs::kStatistics},
          {"fisher", score_fisher, Needs::kStatistics},
          {"gauss_newton", score_fisher, Needs::kDrawnLabels},
          {"movement", score_movement, Needs::kTraining},
          {"hessian", score_kfac, Needs::kLayers},
          {"kfac", score_kfac, Needs::kLayers},
          {"obs", score_obs, Needs::kLayers},
          {"obd", score_obd, Needs::kLayers},
          {"flap", score_flap, Needs::kStatistics},
          {"gradient", score_gradient, Needs::kGradients},
          {"hessian_trace", score_hessian_trace, Needs::kHessianTrace},
          {"activation", score_activation, Needs::kStatistics},
          {"variance", score_variance, Needs::kStatistics},
          {"apoz", score_apoz, Needs::kStatistics}};
}

Importance find_importance(const std::string& name) {
  std::string known;
  for (const auto& importance : importances()) {
    if (importance.name == name) return importance;
    known += (known.empty() ? "" : ", ") + importance.name;
  }
  throw Error("there is no importance '" + name + "'", {"", "", "importance"}, known);
}

Importance while_training(const Importance& importance) {
  if (importance.name != "hessian") return importance;
  return {"hessian", score_fisher, Needs::kStatistics};
}

void check_scores(const ChannelGroup& unit, const Scores& scores) {
  const bool fits = scores.size() == unit.blocks.size() &&
                    std::all_of(scores.begin(), scores.end(), [&](const auto& block) {
                      return static_cast<int64_t>(block.size()) == unit.of;
                    });
  if (!fits) {
    throw Error(
        "the scores of unit " + unit.name + " do not fit it", {},
        std::to_string(unit.of) + " in each of " + std::to_string(unit.blocks.size()) + " blocks");
  }
  for (const auto& block : scores) {
    for (double score : block) {
      if (!std::isfinite(score)) {
        throw Error("unit " + unit.name + " has a score that is not finite", {},
                    "weights and data without NaN or infinity");
      }
    }
  }
}

}  // namespace cpd
