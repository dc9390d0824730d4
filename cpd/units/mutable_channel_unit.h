#pragma once

#include <cpd/comb/combing.h>
#include <cpd/plan/choice.h>

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
  explicit MutableChannel(int64_t num_channels) : mask_(static_cast<size_t>(num_channels), true) {}

  int64_t num_channels() const { return static_cast<int64_t>(mask_.size()); }
  int64_t activated_channels() const;
  const std::vector<bool>& current_mask() const { return mask_; }
  /// Keeps exactly these channels. Throws cpd::Error for an index out of range or an empty list.
  void keep(const Indices& kept);
  Indices kept() const;

 private:
  std::vector<bool> mask_;
};

enum class ChoiceMode {
  kRatio,   ///< choices are ratios of the channels to keep, in (0, 1]
  kNumber,  ///< choices are numbers of channels
  kBuckets  ///< choices are taken from a list of candidates
};

struct UnitOptions {
  ChoiceMode choice_mode = ChoiceMode::kRatio;
  int64_t divisor = 1;
  int64_t min_value = 1;
  double min_ratio = 0;
  int64_t max_value = -1;  ///< -1: all
  std::vector<Choice> candidate_choices;  ///< of buckets
  bool frozen = false;
};

/// A group of channels that decides together: it takes a choice and puts out a mask for each of
/// its blocks. Which layers it belongs to is the group's affair.
class MutableChannelUnit {
 public:
  MutableChannelUnit(const ChannelGroup& group, UnitOptions options);
  virtual ~MutableChannelUnit() = default;
  MutableChannelUnit(const MutableChannelUnit&) = default;

  const std::string& name() const { return group_.name; }
  const ChannelGroup& group() const { return group_; }
  const UnitOptions& options() const { return options_; }
  int64_t num_channels() const { return group_.of; }
  const std::vector<MutableChannel>& channels() const { return channels_; }

  bool is_mutable() const { return reason().empty(); }
  /// Why the unit cannot be pruned; empty if it can.
  std::string reason() const;
  /// Makes the unit immutable for a reason of the user's.
  void freeze(const std::string& reason) { frozen_reason_ = reason; }
  Bounds bounds() const;

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

  /// Keeps `number_of(choice)` channels of every block, by score.
  void set_choice(const Choice& choice, const std::vector<std::vector<double>>& scores);
  /// Keeps given channels, one list per block.
  void set_kept(const std::vector<Indices>& kept);
  int64_t activated_channels() const { return channels_.front().activated_channels(); }

  std::string text() const;

 protected:
  Choice choice_of(int64_t number) const;

 private:
  ChannelGroup group_;
  UnitOptions options_;
  std::string frozen_reason_;
  std::vector<MutableChannel> channels_;
};

/// Makes units of a kind: the default one, or a user's.
using UnitFactory =
    std::function<std::unique_ptr<MutableChannelUnit>(const ChannelGroup&, const UnitOptions&)>;

std::ostream& operator<<(std::ostream& out, const MutableChannelUnit& unit);

}  // namespace cpd
