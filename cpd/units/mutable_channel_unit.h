#pragma once

#include <cpd/comb/combing.h>
#include <cpd/plan/choice.h>
#include <cpd/units/unit_options.h>

#include <functional>
#include <iosfwd>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace cpd {

/// One mask over the channels of a block.
class MutableChannel {
 public:
  /// `least` channels stay at least.
  explicit MutableChannel(int64_t num_channels, size_t least = 1)
      : mask_(static_cast<size_t>(num_channels), true), least_(least) {}

  int64_t num_channels() const { return static_cast<int64_t>(mask_.size()); }
  int64_t activated_channels() const;
  const std::vector<bool>& current_mask() const { return mask_; }
  /// Keeps exactly these channels. Throws cpd::Error for an index out of range or too few of them.
  void keep(const Indices& kept);
  Indices kept() const;

 private:
  std::vector<bool> mask_;
  size_t least_;
};

/// A group of channels that decides together: it takes a choice and puts out a mask for each of
/// its blocks. Which layers it belongs to is the group's affair.
class MutableChannelUnit {
 public:
  MutableChannelUnit(const ChannelGroup& group, UnitOptions options);
  virtual ~MutableChannelUnit() = default;
  MutableChannelUnit(const MutableChannelUnit&) = default;

  const std::string& name() const { return group_.name; }
  /// What the unit prints as and a configuration calls it: `MutableChannelUnit`.
  virtual std::string type() const { return "MutableChannelUnit"; }
  const ChannelGroup& group() const { return group_; }
  const UnitOptions& options() const { return options_; }
  int64_t num_channels() const { return group_.of; }
  const std::vector<MutableChannel>& channels() const { return channels_; }

  bool is_mutable() const { return reason().empty(); }
  /// Why the unit cannot be pruned; empty if it can.
  std::string reason() const;
  /// Makes the unit immutable for a reason of the user's.
  void freeze(const std::string& reason) { frozen_reason_ = reason; }
  virtual Bounds bounds() const;

  /// How many channels a choice keeps, bounds and divisor respected.
  virtual int64_t number_of(const Choice& choice) const;
  /// The present choice, in the form of the unit's mode.
  virtual Choice current_choice() const;
  virtual Choice min_choice() const;
  virtual Choice max_choice() const;
  /// Uniform over what the mode allows.
  virtual Choice sample_choice(std::mt19937_64& random) const;
  /// Which channels of a block stay when k do: by default those of the highest scores.
  virtual Indices select(const std::vector<double>& scores, int64_t k) const;

  /// Throws cpd::Error naming the unit if it is not mutable or the choice is none that it can take.
  void check(const Choice& choice) const;
  /// Keeps `number_of(choice)` channels of every block, by score. Throws like `check`.
  void set_choice(const Choice& choice, const std::vector<std::vector<double>>& scores);
  /// Keeps given channels, one list per block.
  void set_kept(const std::vector<Indices>& kept);
  int64_t activated_channels() const { return channels_.front().activated_channels(); }

  /// `MutableChannelUnit(name=..., num_channels=8, activated_channels=4, ...)`, in one line.
  std::string text() const;

 protected:
  /// The choice that stands for a number of channels in the unit's mode.
  Choice choice_of(int64_t number) const;

 private:
  ChannelGroup group_;
  UnitOptions options_;
  std::string frozen_reason_;
  std::vector<MutableChannel> channels_;
};

/// Makes units of a kind: a user's own, say.
using UnitFactory =
    std::function<std::unique_ptr<MutableChannelUnit>(const ChannelGroup&, const UnitOptions&)>;

/// Factory of one class for any group.
template <typename Unit>
UnitFactory unit_factory() {
  return [](const ChannelGroup& group, const UnitOptions& options) {
    return std::make_unique<Unit>(group, options);
  };
}

/// Does a pattern of a configuration mean this unit? It may be a name with `*`, the name without
/// its channels (`layer1.0.conv1`), a role (`heads`), or a role before a name (`heads.*`).
bool means(const std::string& pattern, const ChannelGroup& unit);

std::ostream& operator<<(std::ostream& out, const MutableChannelUnit& unit);

}  // namespace cpd
