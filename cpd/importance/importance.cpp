#include <cpd/core/error.h>
#include <cpd/importance/importance.h>

namespace cpd {

std::vector<Importance> importances() {
  return {{"random", score_random},
          {"l1", score_l1},
          {"l2", score_l2},
          {"fpgm", score_fpgm},
          {"bn_scale", score_bn_scale}};
}

Importance find_importance(const std::string& name) {
  std::string known;
  for (const auto& importance : importances()) {
    if (importance.name == name) return importance;
    known += (known.empty() ? "" : ", ") + importance.name;
  }
  throw Error("there is no importance '" + name + "'", {"", "", "importance"}, known);
}

}  // namespace cpd
