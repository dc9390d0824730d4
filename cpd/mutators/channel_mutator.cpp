#include <cpd/compensation/compensation.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/cost/measure.h>
#include <cpd/mutators/channel_mutator.h>
#include <cpd/mutators/group_scores.h>
#include <cpd/mutators/limits.h>
#include <cpd/units/mutable_block_unit.h>
#include <cpd/units/plan_of.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <set>
#include <sstream>

namespace cpd {
namespace {

std::shared_ptr<const Combing> combing_of(const Model& model, const MutatorOptions& options) {
  CombOptions comb_options;
  comb_options.rules = &options.rules;
  comb_options.seed = options.seed;
  comb_options.blocks = options.offers_blocks();
  return std::make_shared<const Combing>(comb(model, comb_options));
}

bool any_means(const std::vector<std::string>& patterns, const ChannelGroup& group) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return means(pattern, group); });
}

/// What units of one structure have in common, whatever their sizes.
std::string family_of(const Model& model, const ChannelGroup& group) {
  std::set<std::string> members;
  for (const auto& member : group.members) {
    const int64_t rank = model.parameter(member.parameter).tensor.dim();
    members.insert(std::string(name_of(member.role)) + std::to_string(rank));
  }
  return std::string(name_of(group.kind)) + " " + group.role + " " +
         joined({members.begin(), members.end()});
}

Scores weighted(Scores scores, double weight) {
  for (auto& block : scores) {
    for (double& score : block) score *= weight;
  }
  return scores;
}

std::vector<std::string> names_of(const ChannelMutator::Units& units) {
  std::vector<std::string> names;
  for (const auto& unit : units) names.push_back(unit->name());
  return names;
}

}  // namespace

ChannelMutator::ChannelMutator(Model model, MutatorOptions options)
    : ChannelMutator(std::make_shared<const Model>(std::move(model)), std::move(options)) {}

ChannelMutator::ChannelMutator(std::shared_ptr<const Model> model, MutatorOptions options)
    : options_(std::move(options)),
      model_(std::move(model)),
      combing_(combing_of(*model_, options_)),
      valued_(model_),
      dynamic_(model_, combing_, options_.rules, options_.dynamic_ops),
      costs_(std::make_shared<const CostModel>(*model_, *combing_)) {
  options_.unit.verify("unit");
  make_units();
  freeze_by_options();
  begin_with_choices();
}

UnitOptions ChannelMutator::options_of(const ChannelGroup& group, std::vector<bool>& used) const {
  UnitOptions result = options_.unit;
  for (size_t i = 0; i < options_.units.size(); ++i) {
    const auto& [pattern, difference] = options_.units[i];
    if (!means(pattern, group)) continue;
    used[i] = true;
    result = difference.over(result);
  }
  return result;
}

void ChannelMutator::make_units() {
  std::vector<bool> used(options_.units.size(), false);
  for (const auto& group : combing_->groups) {
    const UnitOptions options = options_of(group, used);
    units_.push_back(group.kind == UnitKind::kBlocks
                         ? std::make_unique<MutableBlockUnit>(group, options)
                         : options_.make_unit(group, options));
  }
  check_patterns(used);
}

void ChannelMutator::check_patterns(const std::vector<bool>& used) const {
  const auto fail = [&](const std::string& pattern, const std::string& key) {
    throw Error("no unit is meant by '" + pattern + "'" + suggestion(pattern, names_of(units_)),
                {.path = key}, "a unit's name, a pattern with *, or a role");
  };
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) fail(options_.units[i].first, "units");
  }
  const auto check = [&](const std::vector<std::string>& patterns, const std::string& key) {
    for (const auto& pattern : patterns) {
      if (std::none_of(units_.begin(), units_.end(),
                       [&](const auto& unit) { return means(pattern, unit->group()); })) {
        fail(pattern, key);
      }
    }
  };
  check(options_.freeze, "freeze");
  check(options_.only, "only");
}

void ChannelMutator::freeze_by_options() {
  for (const auto& unit : units_) {
    if (!unit->is_mutable()) continue;
    const ChannelGroup& group = unit->group();
    if (any_means(options_.freeze, group)) {
      unit->freeze("frozen by name");
    } else if (!options_.only.empty() && !any_means(options_.only, group)) {
      unit->freeze("not among the units that are to be pruned");
    } else if (options_.exact_only && group.level != Level::kExact) {
      unit->freeze(std::string("its removal is not exact, but of level ") + name_of(group.level));
    }
  }
}

void ChannelMutator::begin_with_choices() {
  Choices choices;
  for (const auto& unit : units_) {
    for (const auto& [pattern, difference] : options_.units) {
      if (difference.choice && unit->is_mutable() && means(pattern, unit->group())) {
        choices[unit->name()] = *difference.choice;
      }
    }
  }
  if (!choices.empty()) set_choices(choices);
}

std::vector<MutableChannelUnit*> ChannelMutator::mutable_units() const {
  std::vector<MutableChannelUnit*> result;
  for (const auto& unit : units_) {
    if (unit->is_mutable()) result.push_back(unit.get());
  }
  return result;
}

MutableChannelUnit& ChannelMutator::unit(const std::string& name) const {
  for (const auto& unit : units_) {
    if (unit->name() == name) return *unit;
  }
  throw Error("the network has no unit '" + name + "'" + suggestion(name, names_of(units_)));
}

void ChannelMutator::check_prunable() const {
  if (!mutable_units().empty()) return;
  std::set<std::string> reasons;
  for (const auto& unit : units_) reasons.insert(unit->reason());
  for (const auto& locked : combing_->locked) reasons.insert(locked.reason);
  const std::vector<std::string> list(reasons.begin(), reasons.end());
  throw Error("the network has no channel that can be pruned" +
              (list.empty() ? std::string() : ": " + joined(list, "; ")));
}

Choices ChannelMutator::current_choices() const {
  Choices choices;
  for (const auto* unit : mutable_units()) choices[unit->name()] = unit->current_choice();
  return choices;
}

Choices ChannelMutator::min_choices() const {
  Choices choices;
  for (const auto* unit : mutable_units()) choices[unit->name()] = unit->min_choice();
  return choices;
}

Choices ChannelMutator::max_choices() const {
  Choices choices;
  for (const auto* unit : mutable_units()) choices[unit->name()] = unit->max_choice();
  return choices;
}

Choices ChannelMutator::sample_choices(uint64_t seed) const {
  std::mt19937_64 random(seed);
  Choices choices;
  for (const auto* unit : mutable_units()) choices[unit->name()] = unit->sample_choice(random);
  return choices;
}

void ChannelMutator::set_choices(const Choices& choices) {
  for (const auto& [name, choice] : choices) unit(name).check(choice);
  const auto& all = scores();
  for (size_t i = 0; i < units_.size(); ++i) {
    const auto choice = choices.find(units_[i]->name());
    if (choice != choices.end()) units_[i]->set_choice(choice->second, all[i]);
  }
  apply();
}

void ChannelMutator::set_widths(const Widths& widths) {
  size_t next = 0;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (!units_[i]->is_mutable()) continue;
    std::vector<Indices> kept;
    for (const auto& block : (*scores_)[i]) kept.push_back(units_[i]->select(block, widths[next]));
    units_[i]->set_kept(kept);
    ++next;
  }
  apply();
}

void ChannelMutator::apply() {
  Keep keep(*combing_);
  for (const auto& unit : units_) {
    for (size_t b = 0; b < unit->channels().size(); ++b) {
      const auto& mask = unit->channels()[b].current_mask();
      for (size_t i = 0; i < mask.size(); ++i) keep.set(unit->group().blocks[b][i], mask[i]);
    }
  }
  dynamic_.set_keep(keep);
}

Plan ChannelMutator::plan() const {
  Plan plan = plan_of(*model_, *combing_, keep());
  plan.refit = refit_;
  return plan;
}

void ChannelMutator::set_values(const std::map<std::string, at::Tensor>& values) {
  if (values.empty() && refit_.empty()) return;
  auto valued =
      values.empty() ? model_ : std::make_shared<const Model>(with_values(*model_, values));
  DynamicModel next(valued, combing_, options_.rules, options_.dynamic_ops);
  next.set_keep(keep());
  next.set_mode(dynamic_.mode());
  next.train(dynamic_.is_training());
  dynamic_ = std::move(next);
  valued_ = std::move(valued);
  refit_.clear();
  for (const auto& [name, tensor] : values) refit_.push_back(name);
}

void ChannelMutator::set_plan(const Plan& plan) {
  const Keep keep = keep_of(plan, *model_, *combing_);
  for (const auto& unit : units_) {
    std::vector<Indices> kept;
    for (const auto& block : unit->group().blocks) {
      kept.emplace_back();
      for (size_t i = 0; i < block.size(); ++i) {
        if (keep.kept(block[i])) kept.back().push_back(static_cast<int64_t>(i));
      }
    }
    unit->set_kept(kept);
  }
  dynamic_.set_keep(keep);
}

const std::vector<Scores>& ChannelMutator::scores() {
  if (!scores_) score();
  return *scores_;
}

const std::vector<Scores>& ChannelMutator::score(const Statistics* statistics) {
  if (options_.importance.needs != Needs::kWeights && statistics == nullptr) {
    throw Error("importance '" + options_.importance.name + "' needs data", {},
                "images or other inputs to run through the network");
  }
  const ScoreContext context{*model_, *combing_, options_.seed, statistics};
  GroupScores scores(*model_, *combing_, [&](const ChannelGroup& group) {
    Scores own = options_.importance.score(group, context);
    return options_.normalises() ? normalised(std::move(own)) : own;
  });
  std::vector<Scores> all;
  for (const auto& unit : units_) {
    all.emplace_back();
    if (unit->is_mutable()) all.back() = scores.of(unit->group());
  }
  divide_by_savings(all);
  set_scores(std::move(all));
  return *scores_;
}

void ChannelMutator::divide_by_savings(std::vector<Scores>& scores) {
  if (options_.per.empty()) return;
  const std::vector<double> saved = savings(options_.per);
  for (size_t i = 0; i < scores.size(); ++i) {
    for (auto& block : scores[i]) {
      for (auto& score : block) score /= saved[i];
    }
  }
}

/// What one channel of each unit saves at the present widths; 1 where nothing is saved.
std::vector<double> ChannelMutator::savings(const std::string& cost) {
  Budget budget;
  (cost == "params"    ? budget.params
   : cost == "memory"  ? budget.memory
   : cost == "latency" ? budget.latency
                       : budget.macs) = Amount(1);
  std::vector<size_t> groups;
  Widths widths;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (!units_[i]->is_mutable()) continue;
    groups.push_back(i);
    widths.push_back(units_[i]->activated_channels());
  }
  const LatencyTable* latencies = budget.latency ? &latency_table() : nullptr;
  const auto limits = limits_of(budget, *model_, *combing_, groups, latencies);
  std::vector<double> result(units_.size(), 1.0);
  const double now = limits.front().cost(widths);
  for (size_t u = 0; u < groups.size(); ++u) {
    const Bounds bounds = units_[groups[u]]->bounds();
    Widths other = widths;
    const auto next = bounds.below(widths[u]);
    other[u] = next ? *next : bounds.above(widths[u]).value_or(widths[u]);
    if (other[u] == widths[u]) continue;
    const double saved =
        (now - limits.front().cost(other)) / static_cast<double>(widths[u] - other[u]);
    if (saved > 0) result[groups[u]] = saved;
  }
  return result;
}

void ChannelMutator::set_scores(std::vector<Scores> scores) {
  if (scores.size() != units_.size()) {
    throw Error("there are scores for " + std::to_string(scores.size()) + " units", {},
                std::to_string(units_.size()));
  }
  for (size_t i = 0; i < units_.size(); ++i) {
    if (units_[i]->is_mutable()) check_scores(units_[i]->group(), scores[i]);
  }
  scores_ = std::move(scores);
}

AllocationProblem ChannelMutator::problem(const Budget& budget) {
  budget.verify();
  const auto& all = scores();
  AllocationProblem problem;
  std::vector<size_t> groups;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (!units_[i]->is_mutable()) continue;
    groups.push_back(i);
    AllocationUnit& item = problem.units.emplace_back();
    item.name = units_[i]->name();
    item.bounds = units_[i]->bounds();
    item.scores = weighted(all[i], units_[i]->options().weight);
    item.family = family_of(*model_, units_[i]->group());
    item.prepare();
  }
  const LatencyTable* latencies = budget.latency ? &latency_table() : nullptr;
  problem.limits = limits_of(budget, *model_, *combing_, groups, latencies);
  keep_from_collapse(problem, std::min(options_.floor, budget.ratio.value_or(1)));
  return problem;
}

const LatencyTable& ChannelMutator::latency_table() {
  if (!latency_table_) latency_table_ = options_.latency_table;
  if (!latency_table_) {
    latency_table_ = std::make_shared<const LatencyTable>(measure_latency(*model_, *combing_));
  }
  return *latency_table_;
}

double ChannelMutator::predicted_latency() {
  CostsByWidth costs(*model_, *combing_);
  costs.set_latency_table(latency_table());
  std::vector<int64_t> widths;
  for (const auto& unit : units_) widths.push_back(unit->activated_channels());
  return costs.latency(widths);
}

Choices ChannelMutator::allocate(const Budget& budget, const Allocator& allocator) {
  check_prunable();
  AllocationProblem problem = this->problem(budget);
  if (budget.empty())
    throw Error("there is no budget", {.path = "budget"}, "macs, params, ratio ...");
  if (budget.ratio) {
    const Widths widths = ratio_widths(problem.units, *budget.ratio);
    for (size_t i = 0; i < widths.size(); ++i) problem.units[i].bounds.max = widths[i];
  }
  allocation_ = allocator.allocate(problem);
  set_widths(allocation_.widths);
  return current_choices();
}

Json ChannelMutator::config_template(bool only_mutable_units) const {
  Json json = options_;
  Json units = Json::object();
  for (const auto& unit : units_) {
    if (!unit->is_mutable() && only_mutable_units) continue;
    Json entry{{"init_args", unit->options()}};
    if (unit->is_mutable()) entry["choice"] = choice_json(unit->current_choice());
    units[unit->name()] = entry;
  }
  json["units"] = units;
  return json;
}

std::string ChannelMutator::text(int indent) const {
  const std::string margin(static_cast<size_t>(indent), ' ');
  std::ostringstream out;
  out << type() << "(";
  for (const auto& unit : units_) {
    out << "\n" << margin << "  (" << unit->name() << "): " << *unit;
  }
  if (!units_.empty()) out << "\n" << margin;
  out << ")";
  return out.str();
}

void certify(const ChannelMutator& mutator) {
  certify(mutator.dense(), mutator.combing(), mutator.keep(), mutator.model().compaction(),
          mutator.options().rules);
}

std::ostream& operator<<(std::ostream& out, const ChannelMutator& mutator) {
  return out << mutator.text();
}

}  // namespace cpd
