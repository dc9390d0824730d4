#pragma once

#include <cpd/core/json.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cpd {

enum class ScheduleType { kConstant, kStep, kCosine, kLinear };

/// How the learning rate changes over a run, as a factor of the optimiser's `lr`.
struct ScheduleOptions {
  ScheduleType type = ScheduleType::kCosine;
  double warmup = 0;        ///< epochs in which the rate rises from `warmup_start`, linearly
  double warmup_start = 0;  ///< factor at the first step of the warm-up
  double end = 0;           ///< cosine and linear: factor at the end of the run
  std::vector<double> milestones{};  ///< step: epochs after which the rate is multiplied by `gamma`
  double gamma = 0.1;

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "schedule") const;
  bool operator==(const ScheduleOptions&) const = default;
};

/// An object, or the name of a type alone: `constant`, `step`, `cosine`, `linear`.
void read_json(const Json& json, const std::string& path, ScheduleOptions& options);
void to_json(Json& json, const ScheduleOptions& options);

/// The factor for a step (from 0) of a run of `steps`, of which `per_epoch` are an epoch. The first
/// step without warm-up has factor 1; cosine: Loshchilov and Hutter, SGDR, ICLR 2017.
double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t steps,
                       int64_t per_epoch);

}  // namespace cpd
