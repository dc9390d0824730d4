#pragma once

#include <cpd/algorithms/channel_map.h>
#include <cpd/comb/compaction.h>
#include <cpd/compensation/compensation.h>
#include <cpd/importance/running_statistics.h>
#include <cpd/mutators/channel_mutator.h>
#include <cpd/training/optimiser.h>
#include <cpd/training/trainable.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cpd {

/// The network that trains while a mutator prunes it: the compact form of what the mutator keeps,
/// with tensors of its own, so that training gets faster as the network gets smaller. What it has
/// learnt goes back to the mutator with `write_back`: then the mutator's masked network computes
/// the same as this one, and an export of the mutator exports it.
class ShrinkingNetwork : public Trainable {
 public:
  /// The mutator must outlive it. The network begins as the mutator keeps it now.
  explicit ShrinkingNetwork(ChannelMutator& mutator);

  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs) override;
  /// For networks with one input and one output.
  at::Tensor forward(const at::Tensor& input);
  NamedTensors parameters() const override { return model_->named_parameters(); }
  NamedTensors buffers() const override { return model_->named_buffers(); }
  void train(bool on) override { model_->train(on); }
  bool is_training() const override { return model_->is_training(); }
  void to(c10::Device device) override;

  ChannelMutator& mutator() { return mutator_; }
  DynamicModel& model() { return *model_; }
  const DynamicModel& model() const { return *model_; }
  /// Grows each time that the network gets new tensors.
  int64_t version() const { return version_; }

  bool watch(ObserverFactory factory) override {
    watchers_.add(std::move(factory));
    return true;
  }

  /// Gives the mutator the weights and statistics as they are now, or those of `instead` by name,
  /// in the shapes that they have here.
  void write_back(const std::map<std::string, at::Tensor>& instead = {});
  /// Takes over what the mutator keeps now, with the mutator's weights: first `write_back`, unless
  /// these are to be forgotten. The tensors are new ones. Returns how to cut a tensor that has the
  /// shape that a parameter or buffer had (momentum, say); it fits where the mutator keeps no
  /// channel that it had removed before.
  StateCut follow();

  /// For each group of the network as it is now its place in the network that was given; no
  /// channels where it has become too small to be found again.
  std::vector<MappedGroup> places() const;

  /// Scores of all units of the mutator by an importance that looks at the network as it is now;
  /// channels that are gone score lower than any other. Units that have become too small to be
  /// found again keep the order of `before`.
  std::vector<Scores> scores(const Importance& importance, const Statistics* statistics,
                             const std::vector<Scores>& before) const;

  /// Makes up for what the mutator keeps no more of the network as it is now, for `write_back`
  /// before `follow`. Has a note and no values if some of that is in units that have become too
  /// small to be found again. Throws as `compensate` does.
  Compensation compensate(const CalibrationData& data, const CompensationOptions& options) const;

 private:
  std::optional<Keep> keep_here() const;

  ChannelMutator& mutator_;
  std::optional<Keep> held_;           ///< what the mutator kept when the network followed it
  std::map<std::string, Gather> cut_;  ///< how each parameter and buffer differs from the dense one
  std::optional<DynamicModel> model_;
  int64_t version_ = 0;
  Watchers watchers_;
};

}  // namespace cpd
