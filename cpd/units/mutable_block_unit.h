#pragma once

#include <cpd/units/mutable_channel_unit.h>

namespace cpd {

/// A residual block that is there or not: its choices are 1 and 0; every ratio keeps it. Divisors
/// and bounds of channels do not apply to it; it can be frozen.
class MutableBlockUnit : public MutableChannelUnit {
 public:
  MutableBlockUnit(const ChannelGroup& group, const UnitOptions& options);

  std::string type() const override { return "MutableBlockUnit"; }
  Bounds bounds() const override;
  /// Throws cpd::Error naming the unit for another number.
  int64_t number_of(const Choice& choice) const override;
  Choice current_choice() const override { return activated_channels(); }
  Choice min_choice() const override { return int64_t{0}; }
  Choice max_choice() const override { return int64_t{1}; }
  Choice sample_choice(std::mt19937_64& random) const override;
};

}  // namespace cpd
