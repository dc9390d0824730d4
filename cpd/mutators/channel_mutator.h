#pragma once

#include <cpd/allocation/allocation.h>
#include <cpd/allocation/budget.h>
#include <cpd/cost/cost.h>
#include <cpd/dynamic_ops/dynamic_model.h>
#include <cpd/mutators/mutator_options.h>
#include <cpd/plan/plan.h>

#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cpd {

/// The pruning structure of a network: its units, what each of them keeps now, and the network that
/// runs with it. Decides how many channels each unit keeps; which ones, the scores say.
///
/// Derive from it to decide otherwise: `sample_choices` and `allocate` are virtual.
class ChannelMutator {
 public:
  using Units = std::vector<std::unique_ptr<MutableChannelUnit>>;

  /// Combs the network and makes a unit of each group; parameters are shared with `model`. Throws
  /// cpd::Error for options that fit no unit.
  explicit ChannelMutator(Model model, MutatorOptions options = {});
  explicit ChannelMutator(std::shared_ptr<const Model> model, MutatorOptions options = {});
  virtual ~ChannelMutator() = default;
  ChannelMutator(ChannelMutator&&) = default;
  ChannelMutator& operator=(ChannelMutator&&) = default;

  /// What the mutator prints as: `ChannelMutator`.
  virtual std::string type() const { return "ChannelMutator"; }
  const MutatorOptions& options() const { return options_; }
  /// The network that runs with the current choices.
  DynamicModel& model() { return dynamic_; }
  const DynamicModel& model() const { return dynamic_; }
  const Model& dense() const { return *model_; }
  /// The dense network with the values that `set_values` gave; `dense` if there are none.
  const Model& valued() const { return *valued_; }
  /// Gives the network that runs new values for parameters and buffers, by name and in the dense
  /// shapes, instead of those given before; `dense` keeps its own. The plan lists them as refit.
  /// They are meant for what is kept now. Throws cpd::Error for an unknown name or another shape.
  void set_values(const std::map<std::string, at::Tensor>& values);
  const Combing& combing() const { return *combing_; }

  const Units& units() const { return units_; }
  std::vector<MutableChannelUnit*> mutable_units() const;
  /// Throws cpd::Error with the nearest name if there is no such unit.
  MutableChannelUnit& unit(const std::string& name) const;
  /// Throws cpd::Error if no unit can be pruned: the message says why.
  void check_prunable() const;

  /// Choices of all mutable units by name.
  Choices choice_template() const { return current_choices(); }
  Choices current_choices() const;
  Choices min_choices() const;
  Choices max_choices() const;
  /// Random choices, the same for the same seed. They are not set.
  virtual Choices sample_choices(uint64_t seed = 0) const;
  /// Sets the units that are named; others stay as they are. The channels of highest score are
  /// kept. Throws cpd::Error for an unknown unit or a choice that it cannot take; then nothing has
  /// changed.
  void set_choices(const Choices& choices);

  /// The current structure, down to the indices.
  Plan plan() const;
  /// Throws cpd::Error if the plan is of another network; then nothing has changed.
  void set_plan(const Plan& plan);
  const Keep& keep() const { return dynamic_.keep(); }

  /// One score per channel for each unit, in the order of `units`; empty for units that are not
  /// mutable. Computed once, by the importance of the options.
  const std::vector<Scores>& scores();
  /// Computes them anew, with what data has shown if the importance needs it.
  const std::vector<Scores>& score(const Statistics* statistics = nullptr);
  /// Divides scores by what a channel of their unit saves now, where `per` of the options says so:
  /// part of `score`, and for scores from elsewhere.
  void divide_by_savings(std::vector<Scores>& scores);
  /// Scores from elsewhere. Throws cpd::Error if they do not fit the units.
  void set_scores(std::vector<Scores> scores);

  /// Given what to keep, decides the structure, sets it and returns it. The budget is never
  /// exceeded. Throws cpd::Error if it cannot be reached; the message has the nearest that can.
  virtual Choices allocate(const Budget& budget, const Allocator& allocator = "global");
  /// What stopped the last `allocate`, and how much of the budget it used.
  const Allocation& allocation() const { return allocation_; }
  /// The limits that a budget means for this network.
  AllocationProblem problem(const Budget& budget);

  const CostModel& costs() const { return *costs_; }
  /// What the network costs now.
  Cost cost() const { return costs_->of(keep()); }

  /// From which latencies are predicted: that of the options, or measured here once.
  const LatencyTable& latency_table();
  /// Predicted seconds for the table's batch as the network is now.
  double predicted_latency();

  /// The configuration of this mutator with its current choices; read back, it makes an equal one.
  Json config_template(bool only_mutable_units = true) const;
  /// `ChannelMutator(` with a line for each unit.
  std::string text(int indent = 0) const;

 protected:
  void apply();  ///< hands what the units keep over to the network

 private:
  void make_units();
  std::vector<double> savings(const std::string& cost);
  void set_widths(const Widths& widths);
  void freeze_by_options();
  UnitOptions options_of(const ChannelGroup& group, std::vector<bool>& used) const;
  void check_patterns(const std::vector<bool>& used) const;
  void begin_with_choices();

  MutatorOptions options_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Combing> combing_;
  std::shared_ptr<const Model> valued_;
  std::vector<std::string> refit_;  ///< names of the tensors whose values were set
  DynamicModel dynamic_;
  Units units_;
  std::shared_ptr<const CostModel> costs_;
  std::optional<std::vector<Scores>> scores_;
  Allocation allocation_;
  std::shared_ptr<const LatencyTable> latency_table_;
};

/// Checks the current structure from the graph alone, without weights. Throws cpd::Error that names
/// the first op where it fails.
void certify(const ChannelMutator& mutator);

std::ostream& operator<<(std::ostream& out, const ChannelMutator& mutator);

}  // namespace cpd
