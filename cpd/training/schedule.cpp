#include <cpd/core/error.h>
#include <cpd/training/schedule.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cpd {
namespace {

const std::vector<std::string>& type_names() {
  static const std::vector<std::string> names{"constant", "step", "cosine", "linear"};
  return names;
}

}  // namespace

void ScheduleOptions::verify(const std::string& path) const {
  check_range(key_path(path, "warmup"), warmup, 0);
  check_range(key_path(path, "warmup_start"), warmup_start, 0, 1);
  check_range(key_path(path, "end"), end, 0, 1);
  check_range(key_path(path, "gamma"), gamma, 0, 1);
  if (!std::is_sorted(milestones.begin(), milestones.end())) {
    throw Error("the epochs are not in order", {.path = key_path(path, "milestones")}, "ascending");
  }
  if (type == ScheduleType::kStep && milestones.empty()) {
    throw Error("there are no epochs at which the rate falls",
                {.path = key_path(path, "milestones")}, "a list of epochs");
  }
}

void read_json(const Json& json, const std::string& path, ScheduleOptions& options) {
  if (json.is_string()) return read_json_name(json, path, type_names(), options.type);
  JsonObject object(json, path);
  if (const Json* type = object.take("type")) {
    read_json_name(*type, key_path(path, "type"), type_names(), options.type);
  }
  object.read("warmup", options.warmup)
      .read("warmup_start", options.warmup_start)
      .read("end", options.end)
      .read("milestones", options.milestones)
      .read("gamma", options.gamma)
      .finish();
}

void to_json(Json& json, const ScheduleOptions& options) {
  json = Json{{"type", type_names()[static_cast<size_t>(options.type)]},
              {"warmup", options.warmup},
              {"warmup_start", options.warmup_start},
              {"end", options.end},
              {"milestones", options.milestones},
              {"gamma", options.gamma}};
}

double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t steps,
                       int64_t per_epoch) {
  const double epoch_steps = static_cast<double>(std::max<int64_t>(per_epoch, 1));
  const double warmup = std::min(options.warmup * epoch_steps, static_cast<double>(steps));
  const auto now = static_cast<double>(step);
  if (now < warmup) {
    return options.warmup_start + (1 - options.warmup_start) * (now + 1) / std::ceil(warmup);
  }
  const double left = std::max(static_cast<double>(steps) - warmup, 1.0);
  const double done = std::min((now - warmup) / left, 1.0);
  switch (options.type) {
    case ScheduleType::kConstant:
      return 1;
    case ScheduleType::kStep: {
      const auto passed =
          std::count_if(options.milestones.begin(), options.milestones.end(),
                        [&](double milestone) { return now >= milestone * epoch_steps; });
      return std::pow(options.gamma, static_cast<double>(passed));
    }
    case ScheduleType::kCosine:
      return options.end + (1 - options.end) * 0.5 * (1 + std::cos(std::numbers::pi * done));
    case ScheduleType::kLinear:
      return 1 + (options.end - 1) * done;
  }
  return 1;
}

}  // namespace cpd
