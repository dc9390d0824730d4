#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace cpd {

/// Mixes numbers into a seed: `mix(seed, epoch, index)` gives each place its own random numbers,
/// whatever was drawn before.
constexpr uint64_t mix(uint64_t seed) {
  // Steele, Lea and Flood's SplitMix64 step.
  uint64_t z = seed + 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}
template <typename... Rest>
constexpr uint64_t mix(uint64_t seed, uint64_t next, Rest... rest) {
  return mix(mix(seed) ^ next, static_cast<uint64_t>(rest)...);
}

/// A small generator whose numbers are the same on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(mix(seed)) {}

  uint64_t next() { return mix(state_++); }
  /// 0 <= result < count; count is at least 1.
  int64_t below(int64_t count) {
    return static_cast<int64_t>(next() % static_cast<uint64_t>(count));
  }
  /// 0 <= result < 1.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  uint64_t state_;
};

/// 0 ... count - 1 in random order.
inline std::vector<int64_t> permutation(int64_t count, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  Random random(seed);
  for (int64_t i = count - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.below(i + 1))]);
  }
  return order;
}

}  // namespace cpd
