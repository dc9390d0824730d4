#pragma once

#include <cpd/core/json.h>
#include <cpd/plan/plan.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace cpd {

enum class ChoiceMode {
  kRatio,   ///< choices are ratios of the channels to keep, in (0, 1]
  kNumber,  ///< choices are numbers of channels
  kBuckets  ///< choices are taken from a list of candidates
};
const char* name_of(ChoiceMode mode);

/// How a unit decides.
struct UnitOptions {
  ChoiceMode choice_mode = ChoiceMode::kRatio;
  int64_t divisor = 1;      ///< the width that a layer sees is a multiple of it; never of rows
  int64_t row_divisor = 1;  ///< the number of rows (heads, groups) kept is a multiple of it
  int64_t min_value = 1;    ///< channels of each block that stay at least
  double min_ratio = 0;     ///< the same as a fraction of the block
  int64_t max_value = -1;   ///< -1: all
  std::vector<Choice> candidate_choices{};  ///< of buckets
  bool frozen = false;                      ///< leave the unit whole
  double weight = 1;  ///< factor of its scores where units share a budget: above 1 keeps more of it

  /// Throws cpd::Error with the key's path below `path` for a value that makes no sense.
  void verify(const std::string& path) const;
  bool operator==(const UnitOptions&) const = default;
};

/// What differs from the options of all units for some of them.
struct UnitOverride {
  std::optional<ChoiceMode> choice_mode{};
  std::optional<int64_t> divisor{};
  std::optional<int64_t> row_divisor{};
  std::optional<int64_t> min_value{};
  std::optional<double> min_ratio{};
  std::optional<int64_t> max_value{};
  std::optional<std::vector<Choice>> candidate_choices{};
  std::optional<bool> frozen{};
  std::optional<double> weight{};
  std::optional<Choice> choice{};  ///< the choice to begin with

  UnitOptions over(UnitOptions options) const;
};

/// Keys are the names of the fields; `init_args` may hold them too, beside `choice`.
void read_json(const Json& json, const std::string& path, UnitOverride& unit);
void read_json(const Json& json, const std::string& path, UnitOptions& options);
void to_json(Json& json, const UnitOptions& options);
/// A number with a decimal point is a ratio, one without a number of channels.
Choice choice_from(const Json& json, const std::string& path);
Json choice_json(const Choice& choice);

}  // namespace cpd
