#pragma once

#include <cpd/core/json.h>
#include <cpd/plan/choice.h>

#include <optional>
#include <string>

namespace cpd {

/// What to keep. Several may be given together; none is exceeded.
struct Budget {
  std::optional<Amount> macs{};      ///< per sample
  std::optional<Amount> params{};    ///< elements of parameters
  std::optional<Amount> memory{};    ///< bytes of weights and peak activations at `batch`
  std::optional<Amount> latency{};   ///< predicted seconds: `12ms`, or a fraction of the dense one
  std::optional<Amount> channels{};  ///< over all mutable units
  /// The fraction of its channels that every unit keeps: a rule, no search.
  std::optional<double> ratio{};
  int64_t batch = 1;  ///< of the memory budget

  bool empty() const { return !macs && !params && !memory && !latency && !channels && !ratio; }
  /// Throws cpd::Error with the key's path below `path` for a value that makes no sense.
  void verify(const std::string& path = "budget") const;
  bool operator==(const Budget&) const = default;
};

/// A number, or a text like `2G`, `100MB`.
void read_json(const Json& json, const std::string& path, Amount& amount);
/// Keys are the names of the fields; `flops` means `macs`.
void read_json(const Json& json, const std::string& path, Budget& budget);
void to_json(Json& json, const Budget& budget);

}  // namespace cpd
