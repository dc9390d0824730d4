#pragma once

#include <cpd/algorithms/shrinking_network.h>
#include <cpd/distill/distill_options.h>
#include <cpd/training/loss.h>

#include <memory>
#include <string>

namespace cpd {

/// The network that a run learns from: the one in memory, else that of a TorchScript file, else the
/// network that is pruned as it was given. Throws cpd::Error with `path` if the file cannot be
/// taken.
std::shared_ptr<const Model> teacher_of(const std::shared_ptr<const Model>& in_memory,
                                        const std::string& file, const Model& given,
                                        const std::string& path);

/// Lets a network learn from a teacher while it trains, whether it shrinks meanwhile or not.
class Distillation {
 public:
  /// The teacher's tensors are copied. `labels`: the loss against the labels; null: cross entropy.
  /// The network must outlive the result. Throws cpd::Error with the key's path below `path` where
  /// options and networks do not fit; values of layers that do not correspond need maps of their
  /// own that would have to be trained, and are refused.
  Distillation(ShrinkingNetwork& network, const Model& teacher, DistillOptions options,
               Loss labels = nullptr, const std::string& path = "distill");

  /// The loss of a run of `train`, or of a loop of one's own: called with what the network has just
  /// made of the batch's images.
  Loss loss() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace cpd
