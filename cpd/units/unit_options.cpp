#include <cpd/core/error.h>
#include <cpd/units/unit_options.h>

namespace cpd {
namespace {

const std::vector<std::string>& mode_names() {
  static const std::vector<std::string> names = {"ratio", "number", "buckets"};
  return names;
}

void read_fields(JsonObject& object, UnitOverride& unit) {
  object.read("divisor", unit.divisor)
      .read("row_divisor", unit.row_divisor)
      .read("min_value", unit.min_value)
      .read("min_ratio", unit.min_ratio)
      .read("max_value", unit.max_value)
      .read("frozen", unit.frozen)
      .read("weight", unit.weight);
  if (const Json* mode = object.take("choice_mode")) {
    read_json_name(*mode, key_path(object.path(), "choice_mode"), mode_names(),
                   unit.choice_mode.emplace());
  }
  if (const Json* candidates = object.take("candidate_choices")) {
    const std::string path = key_path(object.path(), "candidate_choices");
    if (!candidates->is_array()) throw_wrong_type(*candidates, path, "a list of choices");
    unit.candidate_choices.emplace();
    for (const Json& candidate : *candidates) {
      unit.candidate_choices->push_back(choice_from(candidate, path));
    }
  }
}

}  // namespace

const char* name_of(ChoiceMode mode) { return mode_names()[static_cast<size_t>(mode)].c_str(); }

void UnitOptions::verify(const std::string& path) const {
  check_range(key_path(path, "divisor"), static_cast<double>(divisor), 1);
  check_range(key_path(path, "row_divisor"), static_cast<double>(row_divisor), 1);
  check_range(key_path(path, "min_value"), static_cast<double>(min_value), 1);
  check_range(key_path(path, "min_ratio"), min_ratio, 0, 1);
  check_range(key_path(path, "max_value"), static_cast<double>(max_value), -1);
  if (!(weight > 0)) {
    throw Error("the value is " + Json(weight).dump(), {.path = key_path(path, "weight")},
                "a number above 0");
  }
  if (choice_mode == ChoiceMode::kBuckets && candidate_choices.empty()) {
    throw Error("there are no candidates to choose from",
                {.path = key_path(path, "candidate_choices")}, "a list of ratios or numbers");
  }
}

UnitOptions UnitOverride::over(UnitOptions options) const {
  options.choice_mode = choice_mode.value_or(options.choice_mode);
  options.divisor = divisor.value_or(options.divisor);
  options.row_divisor = row_divisor.value_or(options.row_divisor);
  options.min_value = min_value.value_or(options.min_value);
  options.min_ratio = min_ratio.value_or(options.min_ratio);
  options.max_value = max_value.value_or(options.max_value);
  if (candidate_choices) options.candidate_choices = *candidate_choices;
  options.frozen = frozen.value_or(options.frozen);
  options.weight = weight.value_or(options.weight);
  return options;
}

Choice choice_from(const Json& json, const std::string& path) {
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number_float()) return json.get<double>();
  throw_wrong_type(json, path, "a ratio such as 0.5 or a number of channels");
}

Json choice_json(const Choice& choice) {
  if (const auto* ratio = std::get_if<double>(&choice)) return *ratio;
  return std::get<int64_t>(choice);
}

void read_json(const Json& json, const std::string& path, UnitOverride& unit) {
  JsonObject object(json, path);
  if (const Json* init = object.take("init_args")) {
    JsonObject inner(*init, key_path(path, "init_args"));
    read_fields(inner, unit);
    inner.finish();
  }
  read_fields(object, unit);
  if (const Json* choice = object.take("choice")) {
    unit.choice = choice_from(*choice, key_path(path, "choice"));
  }
  object.finish();
}

void read_json(const Json& json, const std::string& path, UnitOptions& options) {
  UnitOverride given;
  read_json(json, path, given);
  if (given.choice)
    throw Error("choices belong to single units", {.path = path}, "no key `choice`");
  options = given.over(options);
  options.verify(path);
}

void to_json(Json& json, const UnitOptions& options) {
  json = Json{{"choice_mode", name_of(options.choice_mode)},
              {"divisor", options.divisor},
              {"row_divisor", options.row_divisor},
              {"min_value", options.min_value},
              {"min_ratio", options.min_ratio},
              {"max_value", options.max_value},
              {"frozen", options.frozen},
              {"weight", options.weight}};
  if (options.candidate_choices.empty()) return;
  Json candidates = Json::array();
  for (const auto& candidate : options.candidate_choices)
    candidates.push_back(choice_json(candidate));
  json["candidate_choices"] = candidates;
}

}  // namespace cpd
