#include <cpd/mutators/width_costs.h>

#include <algorithm>
#include <numeric>

namespace cpd {
namespace {

std::vector<Primitive> by_score(const std::vector<Primitive>& block,
                                const std::vector<double>& scores) {
  std::vector<size_t> order(block.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<Primitive> result;
  for (size_t i : order) result.push_back(block[i]);
  return result;
}

}  // namespace

WidthCosts::WidthCosts(const Combing& combing, std::shared_ptr<const CostModel> costs,
                       const std::vector<const MutableChannelUnit*>& units,
                       const std::vector<AllocationUnit>& scored)
    : combing_(&combing), costs_(std::move(costs)) {
  for (size_t u = 0; u < units.size(); ++u) {
    const auto& blocks = units[u]->group().blocks;
    order_.emplace_back();
    for (size_t b = 0; b < blocks.size(); ++b) {
      order_.back().push_back(by_score(blocks[b], scored[u].scores[b]));
    }
  }
}

Widths WidthCosts::largest() const {
  Widths widths;
  for (const auto& blocks : order_) widths.push_back(static_cast<int64_t>(blocks[0].size()));
  return widths;
}

Keep WidthCosts::keep(const Widths& widths) const {
  Keep keep(*combing_);
  for (size_t u = 0; u < order_.size(); ++u) {
    for (const auto& block : order_[u]) {
      for (auto i = static_cast<size_t>(widths[u]); i < block.size(); ++i) {
        keep.set(block[i], false);
      }
    }
  }
  return keep;
}

double WidthCosts::macs(const Widths& widths) const {
  return static_cast<double>(costs_->macs(KeptSizes(*combing_, keep(widths))));
}

double WidthCosts::parameters(const Widths& widths) const {
  return static_cast<double>(costs_->parameters(KeptSizes(*combing_, keep(widths))));
}

double WidthCosts::memory(const Widths& widths, int64_t batch) const {
  return static_cast<double>(costs_->of(keep(widths)).memory(batch));
}

double WidthCosts::channels(const Widths& widths) const {
  double total = 0;
  for (size_t u = 0; u < order_.size(); ++u) {
    total += static_cast<double>(widths[u]) * static_cast<double>(order_[u].size());
  }
  return total;
}

std::vector<Limit> limits_of(const Budget& budget, const WidthCosts& costs) {
  std::vector<Limit> limits;
  const auto shared = std::make_shared<const WidthCosts>(costs);
  const Widths dense = shared->largest();
  const auto add = [&](const char* name, const std::optional<Amount>& amount, auto cost) {
    if (amount) limits.push_back({name, amount->absolute(cost(dense)), cost});
  };
  add("macs", budget.macs, [shared](const Widths& w) { return shared->macs(w); });
  add("parameters", budget.params, [shared](const Widths& w) { return shared->parameters(w); });
  add("memory", budget.memory,
      [shared, batch = budget.batch](const Widths& w) { return shared->memory(w, batch); });
  add("channels", budget.channels, [shared](const Widths& w) { return shared->channels(w); });
  return limits;
}

}  // namespace cpd
