#include <cpd/cost/costs_by_width.h>
#include <cpd/mutators/limits.h>

#include <memory>

namespace cpd {
namespace {

/// Costs by the widths of some groups, the others being whole.
class UnitCosts {
 public:
  UnitCosts(const Model& model, const Combing& combing, const std::vector<size_t>& groups)
      : combing_(&combing), groups_(groups), costs_(model, combing) {}

  Widths dense() const {
    Widths widths;
    for (size_t group : groups_) widths.push_back(costs_.dense_widths()[group]);
    return widths;
  }
  double macs(const Widths& widths) { return static_cast<double>(costs_.macs(all(widths))); }
  double parameters(const Widths& widths) {
    return static_cast<double>(costs_.parameters(all(widths)));
  }
  double memory(const Widths& widths, int64_t batch) {
    return static_cast<double>(costs_.memory(all(widths), batch));
  }
  void set_latencies(const LatencyTable& table) { costs_.set_latency_table(table); }
  double latency(const Widths& widths) { return costs_.latency(all(widths)); }
  double channels(const Widths& widths) const {
    size_t total = 0;
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (combing_->groups[groups_[i]].kind == UnitKind::kBlocks) continue;
      total += static_cast<size_t>(widths[i]) * combing_->groups[groups_[i]].blocks.size();
    }
    return static_cast<double>(total);
  }

 private:
  std::vector<int64_t> all(const Widths& widths) const {
    std::vector<int64_t> result = costs_.dense_widths();
    for (size_t i = 0; i < groups_.size(); ++i) result[groups_[i]] = widths[i];
    return result;
  }

  const Combing* combing_;
  std::vector<size_t> groups_;
  CostsByWidth costs_;
};

}  // namespace

std::vector<Limit> limits_of(const Budget& budget, const Model& model, const Combing& combing,
                             const std::vector<size_t>& groups, const LatencyTable* latencies) {
  std::vector<Limit> limits;
  const auto costs = std::make_shared<UnitCosts>(model, combing, groups);
  if (latencies != nullptr) costs->set_latencies(*latencies);
  const auto add = [&](const char* name, const std::optional<Amount>& amount, auto cost) {
    if (amount) limits.push_back({name, amount->absolute(cost(costs->dense())), cost});
  };
  add("macs", budget.macs, [costs](const Widths& w) { return costs->macs(w); });
  add("parameters", budget.params, [costs](const Widths& w) { return costs->parameters(w); });
  add("memory", budget.memory,
      [costs, batch = budget.batch](const Widths& w) { return costs->memory(w, batch); });
  add("latency", budget.latency, [costs](const Widths& w) { return costs->latency(w); });
  add("channels", budget.channels, [costs](const Widths& w) { return costs->channels(w); });
  return limits;
}

}  // namespace cpd
