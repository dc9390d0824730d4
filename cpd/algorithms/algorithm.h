#pragma once

#include <cpd/mutators/channel_mutator.h>

#include <iosfwd>
#include <memory>
#include <string>

namespace cpd {

/// A whole method of pruning. It owns its network (the architecture) and its mutator.
class Algorithm {
 public:
  /// Throws cpd::Error if there is no mutator.
  explicit Algorithm(std::unique_ptr<ChannelMutator> mutator);
  virtual ~Algorithm() = default;
  Algorithm(Algorithm&&) = default;
  Algorithm& operator=(Algorithm&&) = default;

  /// What the algorithm prints as and a configuration calls it: `OneShot`.
  virtual std::string type() const = 0;
  /// The network with its dynamic ops.
  DynamicModel& architecture() { return mutator_->model(); }
  const DynamicModel& architecture() const { return mutator().model(); }
  ChannelMutator& mutator() { return *mutator_; }
  const ChannelMutator& mutator() const { return *mutator_; }

  /// A tree: `(architecture)` with its layers and their mutable channels, `(mutator)` with its
  /// units.
  std::string text() const;

 private:
  std::unique_ptr<ChannelMutator> mutator_;
};

std::ostream& operator<<(std::ostream& out, const Algorithm& algorithm);

}  // namespace cpd
