#pragma once

#include <cpd/plan/plan.h>

#include <optional>
#include <string>

namespace cpd {

/// Bounds on the number of channels kept in each block of a unit.
struct Bounds {
  int64_t of = 1;       ///< channels in a block
  int64_t min = 1;      ///< at least so many; 0 for a block that can be dropped
  int64_t max = -1;     ///< at most so many; -1 = `of`
  int64_t divisor = 1;  ///< the width that a layer sees is a multiple of it
  /// How many channels of the layer's width one kept channel is (rows x columns).
  int64_t width = 1;

  /// Is k allowed? `of` always is.
  bool allows(int64_t k) const;
  /// The largest allowed number of at most k; the smallest allowed one if there is none.
  int64_t at_most(int64_t k) const;
  /// The allowed number next below k; nullopt at the smallest.
  std::optional<int64_t> below(int64_t k) const;
  /// The allowed number next above k; nullopt at the largest.
  std::optional<int64_t> above(int64_t k) const;
  int64_t smallest() const;
  int64_t largest() const { return max < 0 ? of : max; }
  /// Throws cpd::Error naming the unit if no number is allowed.
  void verify(const std::string& unit) const;
};

/// The number of channels that a choice keeps of `of`: a ratio r keeps max(1, floor(of * r +
/// 1e-9)). Throws cpd::Error naming the unit for a ratio outside (0, 1] or a number outside 1..of.
int64_t number_of(const Choice& choice, int64_t of, const std::string& unit);

/// A budget as the command line and configurations state it: `0.5` keeps half of the dense value,
/// `2G`, `5M`, `100k`, `100MB`, `12ms` are absolute. Throws cpd::Error.
struct Amount {
  double value = 1;
  bool fraction = true;

  Amount() = default;
  /// Up to 1 a fraction of the dense value, above it absolute.
  Amount(double amount) : value(amount), fraction(amount <= 1) {}
  Amount(double amount, bool is_fraction) : value(amount), fraction(is_fraction) {}

  double absolute(double dense) const { return fraction ? value * dense : value; }
  bool operator==(const Amount&) const = default;
};
Amount parse_amount(const std::string& text);
std::string to_text(const Amount& amount);

}  // namespace cpd
