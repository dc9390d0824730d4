#include <cpd/algorithms/reporting.h>
#include <cpd/core/version.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/mutators/groups_of.h>
#include <cpd/units/plan_of.h>
#include <torch/version.h>

#include <utility>

namespace cpd {
namespace {

ReportCosts costs_in(const Cost& cost, int64_t batch) {
  ReportCosts costs;
  costs.macs = cost.macs;
  costs.parameters = cost.parameters;
  costs.memory = cost.memory(batch);
  return costs;
}

int64_t channels_in(const ChannelMutator& mutator, bool kept) {
  int64_t total = 0;
  for (const auto* unit : mutator.mutable_units()) {
    const auto blocks = static_cast<int64_t>(unit->channels().size());
    total += blocks * (kept ? unit->activated_channels() : unit->num_channels());
  }
  return total;
}

/// What each unit's cut saves in the pruned network.
void add_savings(Report& report, const ChannelMutator& mutator) {
  CostsByWidth costs(mutator.dense(), mutator.combing());
  std::vector<int64_t> widths;
  for (const auto& unit : mutator.units()) widths.push_back(unit->activated_channels());
  const int64_t macs = costs.macs(widths), parameters = costs.parameters(widths);
  for (size_t i = 0; i < widths.size(); ++i) {
    ReportUnit& entry = report.units.at(mutator.units()[i]->name());
    if (entry.kept == entry.of) continue;
    const int64_t width = std::exchange(widths[i], costs.dense_widths()[i]);
    entry.macs_saved = costs.macs(widths) - macs;
    entry.parameters_saved = costs.parameters(widths) - parameters;
    widths[i] = width;
  }
}

}  // namespace

Report begin_report(const ChannelMutator& mutator) {
  Report report;
  report.source = mutator.dense().source;
  report.model = identity_of(mutator.dense());
  report.importance = mutator.options().importance.name;
  report.seed = mutator.options().seed;
  report.locked = locked_of(mutator.dense(), mutator.combing());
  report.notes = mutator.dense().notes;
  report.versions = {{"cpd", version()}, {"libtorch", TORCH_VERSION}};
  return report;
}

void finish_report(Report& report, ChannelMutator& mutator, const Budget& budget) {
  for (const auto& unit : mutator.units()) {
    ReportUnit& entry = report.units[unit->name()];
    entry.of = unit->num_channels();
    entry.kept = unit->activated_channels();
    entry.blocks = static_cast<int64_t>(unit->channels().size());
    entry.reason = unit->reason();
  }
  add_savings(report, mutator);
  report.before = costs_in(mutator.costs().dense(), budget.batch);
  report.after = costs_in(mutator.cost(), budget.batch);
  report.stopped_by = mutator.allocation().stopped_by;
  const auto add = [&](const std::string& name, const std::optional<Amount>& amount, auto dense,
                       auto reached) {
    if (!amount) return;
    ReportBudget& entry = report.budgets[name];
    entry.asked = to_text(*amount);
    entry.dense = static_cast<double>(dense);
    entry.limit = amount->absolute(entry.dense);
    entry.reached = static_cast<double>(reached);
    if (report.stopped_by == name) entry.next = mutator.allocation().next;
  };
  add("macs", budget.macs, report.before.macs, report.after.macs);
  add("parameters", budget.params, report.before.parameters, report.after.parameters);
  add("memory", budget.memory, report.before.memory, report.after.memory);
  add("channels", budget.channels, channels_in(mutator, false), channels_in(mutator, true));
  if (budget.latency) {
    CostsByWidth costs(mutator.dense(), mutator.combing());
    costs.set_latency_table(mutator.latency_table());
    add("latency", budget.latency, costs.latency(costs.dense_widths()),
        mutator.predicted_latency());
  }
  report.verify();
}

void add_scores(Report& report, ChannelMutator& mutator) {
  const auto& scores = mutator.scores();
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto& unit = mutator.units()[i];
    ReportUnit& entry = report.units.at(unit->name());
    for (size_t b = 0; b < scores[i].size(); ++b) {
      const auto& mask = unit->channels()[b].current_mask();
      for (size_t c = 0; c < mask.size(); ++c) {
        entry.score += scores[i][b][c];
        if (!mask[c]) entry.score_lost += scores[i][b][c];
      }
    }
  }
}

}  // namespace cpd
