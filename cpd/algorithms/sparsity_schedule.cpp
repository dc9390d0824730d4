#include <cpd/algorithms/sparsity_schedule.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>

#include <cmath>

namespace cpd {
namespace {

double keep_agp(double progress, double end) { return end + (1 - end) * std::pow(1 - progress, 3); }

SparsitySchedule find_schedule(const std::string& name) {
  std::vector<std::string> names;
  for (auto& schedule : sparsity_schedules()) {
    if (schedule.name == name) return schedule;
    names.push_back(schedule.name);
  }
  throw Error("there is no schedule '" + name + "'" + suggestion(name, names), {},
              "one of " + joined(names));
}

}  // namespace

SparsitySchedule::SparsitySchedule(const char* known)
    : SparsitySchedule(find_schedule(std::string(known))) {}
SparsitySchedule::SparsitySchedule(const std::string& known)
    : SparsitySchedule(find_schedule(known)) {}

std::vector<SparsitySchedule> sparsity_schedules() {
  const auto one_pass = [](double progress, double end) { return progress > 0 ? end : 1.0; };
  const auto linear = [](double progress, double end) { return 1 + (end - 1) * progress; };
  const auto exponential = [](double progress, double end) { return std::pow(end, progress); };
  return {{"one_pass", one_pass},
          {"linear", linear},
          {"exponential", exponential},
          {"agp", keep_agp},
          {"cubic", keep_agp}};
}

void read_json(const Json& json, const std::string& path, SparsitySchedule& schedule) {
  std::string name;
  read_json(json, path, name);
  try {
    schedule = name;
  } catch (const Error& error) {
    throw Error(error.problem(), {.path = path}, error.expected());
  }
}

void to_json(Json& json, const SparsitySchedule& schedule) { json = schedule.name; }

}  // namespace cpd
