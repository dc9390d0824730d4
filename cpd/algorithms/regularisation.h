#pragma once

#include <cpd/algorithms/channel_weights.h>
#include <cpd/algorithms/regulariser.h>
#include <cpd/algorithms/shrinking_network.h>
#include <cpd/plan/plan.h>

#include <cstdint>
#include <vector>

namespace cpd {

/// A regulariser at work on the mutable units of a network that shrinks.
class Regularisation {
 public:
  /// The network must outlive it.
  Regularisation(ShrinkingNetwork& network, Regulariser regulariser);

  const Regulariser& regulariser() const { return regulariser_; }
  /// Adds what the regulariser says to the gradients of the loss: once for each update. `next` is
  /// what the next pruning keeps; it counts where only chosen channels are pulled.
  void add_to_gradients(const Plan& next);
  /// Updates since the last pruning.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  /// A unit as it is in the network now.
  struct Unit {
    ChannelWeights weights;
    MappedGroup place;  ///< in the network that was given
  };

  void find_units();
  at::Tensor chosen(const Unit& unit, const Plan& next) const;

  ShrinkingNetwork& network_;
  Regulariser regulariser_;
  std::vector<Unit> units_;
  int64_t version_ = -1;  ///< of the network, to which the units belong
  int64_t updates_ = 0;
};

}  // namespace cpd
