#include <cpd/core/error.h>
#include <cpd/training/hook.h>

namespace cpd {

int read_priority(const Json& json, const std::string& path) {
  static const std::vector<std::pair<std::string, int>> levels{
      {"HIGHEST", 0}, {"VERY_HIGH", 10}, {"HIGH", 30},    {"ABOVE_NORMAL", 40}, {"NORMAL", 50},
      {"LOW", 70},    {"VERY_LOW", 90},  {"LOWEST", 100}, {"BELOW_NORMAL", 60}};
  if (json.is_number_integer()) {
    int value = 0;
    read_json(json, path, value);
    check_range(path, value, 0, 100);
    return value;
  }
  for (const auto& [name, value] : levels) {
    if (json.is_string() && json.get<std::string>() == name) return value;
  }
  throw_wrong_type(json, path, "a number from 0 to 100, or a name such as HIGH, NORMAL, LOWEST");
}

}  // namespace cpd
