#include <cpd/core/error.h>
#include <cpd/plan/format.h>

#include <algorithm>
#include <set>

namespace cpd {

// Found by argument-dependent lookup from the reader of maps.
void read_json(const Json& json, const std::string& path, UnitPlan& unit);

namespace {

constexpr int kVersion = 1;

void verify_list(const Indices& kept, int64_t of, const std::string& path) {
  const Where where{.path = path};
  if (kept.empty()) throw Error("nothing is kept", where, "at least one index");
  int64_t last = -1;
  for (int64_t index : kept) {
    if (index <= last) {
      throw Error("the index " + std::to_string(index) + " stands after " + std::to_string(last),
                  where, "ascending indices from 0");
    }
    if (of >= 0 && index >= of) {
      throw Error("the index is " + std::to_string(index), where,
                  "less than " + std::to_string(of));
    }
    last = index;
  }
}

void verify_unit(const std::string& name, const UnitPlan& unit) {
  const std::string path = "units." + name;
  if (unit.of < 1) throw Error("the unit has no channel", {.path = path + ".of"}, "1 or more");
  if (unit.kept.empty()) throw Error("the unit has no block", {.path = path + ".kept"});
  for (const auto& kept : unit.kept) {
    // A unit of one is a block that can be dropped.
    if (unit.of > 1 || !kept.empty()) verify_list(kept, unit.of, path + ".kept");
    if (kept.size() != unit.kept.front().size()) {
      throw Error("the blocks keep " + std::to_string(unit.kept.front().size()) + " and " +
                      std::to_string(kept.size()) + " channels",
                  {.path = path + ".kept"}, "the same number in every block");
    }
  }
}

void verify_dimension(const DimensionPlan& plan, const std::string& path) {
  const bool one_list = plan.along.empty() && plan.kept.size() == 1 && !plan.blocks;
  if (plan.kept.empty() || (plan.along.empty() && !one_list)) {
    throw Error(std::to_string(plan.kept.size()) + " lists are kept", {.path = path},
                "one, or one for each position of the dimensions `along`");
  }
  if (!plan.along.empty()) verify_list(plan.along, -1, path + ".along");
  for (const auto& kept : plan.kept) {
    verify_list(kept, -1, path);
    if (kept.size() != plan.kept.front().size()) {
      throw Error("the lists keep different numbers", {.path = path}, "lists of one length");
    }
  }
  const std::set<std::string> known = {"", "writer", "reader", "along", "writer, reader"};
  if (known.count(plan.role) == 0) {
    throw Error("the role is '" + plan.role + "'", {.path = path},
                "writer, reader or along, or 'writer, reader'");
  }
}

Json kept_json(const DimensionPlan& plan) {
  if (plan.along.empty()) return plan.kept.front();
  if (plan.blocks) return plan.kept;
  return Json{{"along", plan.along}, {"kept", plan.kept}};
}

DimensionPlan read_dimension(const Json& json, const std::string& path) {
  DimensionPlan plan;
  if (json.is_object()) {
    JsonObject(json, path).require("along", plan.along).require("kept", plan.kept).finish();
  } else if (json.is_array() && !json.empty() && json.front().is_array()) {
    read_json(json, path, plan.kept);
    plan.along = {0};
    plan.blocks = true;
  } else {
    plan.kept.emplace_back();
    read_json(json, path, plan.kept.front());
  }
  return plan;
}

int64_t dimension_number(const std::string& key, const std::string& path) {
  if (key.empty() || key.find_first_not_of("0123456789") != std::string::npos || key.size() > 2) {
    throw Error("'" + key + "' is no dimension", {"", "", path}, "a number like \"0\"");
  }
  return std::stoll(key);
}

void read_parameters(const Json& json, const std::string& path, Plan& plan) {
  for (const auto& [name, dimensions] : object_at(json, path).items()) {
    const std::string here = key_path(path, name);
    for (const auto& [key, kept] : object_at(dimensions, here).items()) {
      plan.parameters[name][dimension_number(key, here)] =
          read_dimension(kept, key_path(here, key));
    }
  }
}

void read_roles(const Json& json, const std::string& path, Plan& plan) {
  for (const auto& [name, dimensions] : object_at(json, path).items()) {
    const std::string here = key_path(path, name);
    for (const auto& [key, role] : object_at(dimensions, here).items()) {
      const auto entry = plan.parameters.find(name);
      const int64_t dim = dimension_number(key, here);
      if (entry == plan.parameters.end() || entry->second.count(dim) == 0) {
        throw Error("a role for a dimension that the plan does not cut",
                    {.path = key_path(here, key)}, "a dimension named in `parameters`");
      }
      read_json(role, key_path(here, key), entry->second[dim].role);
    }
  }
}

Choice read_choice(const Json& json, const std::string& path) {
  const std::string expected =
      "a ratio in (0, 1] as a decimal number, or a whole number of channels, 0 for a block";
  if (!json.is_number()) throw_wrong_type(json, path, expected);
  const double value = json.get<double>();
  const bool valid = json.is_number_integer() ? value >= 0 : value > 0 && value <= 1;
  if (!valid) throw_wrong_type(json, path, expected);
  if (json.is_number_integer()) return json.get<int64_t>();
  return value;
}

Choices read_choices(const Json& json, const std::string& path) {
  Choices choices;
  for (const auto& [name, value] : json.items()) {
    choices[name] = read_choice(value, key_path(path, name));
  }
  return choices;
}

}  // namespace

void read_json(const Json& json, const std::string& path, UnitPlan& unit) {
  JsonObject object(json, path);
  Json kept;
  object.require("of", unit.of).require("kept", kept).finish();
  if (kept.is_object()) throw_wrong_type(kept, key_path(path, "kept"), "a list of indices");
  unit.kept = read_dimension(kept, key_path(path, "kept")).kept;
}

void Plan::verify() const {
  for (const auto& [name, unit] : units) verify_unit(name, unit);
  for (const auto& [name, dimensions] : parameters) {
    for (const auto& [dim, plan] : dimensions) {
      verify_dimension(plan, "parameters." + name + "." + std::to_string(dim));
    }
  }
}

std::string to_json(const Plan& plan) {
  Json json = begin_format("cpd-plan", kVersion);
  json["model"] = identity_json(plan.model);
  json["units"] = Json::object();
  for (const auto& [name, unit] : plan.units) {
    json["units"][name]["of"] = unit.of;
    json["units"][name]["kept"] = unit.kept.size() == 1 ? Json(unit.kept.front()) : Json(unit.kept);
  }
  json["parameters"] = Json::object();
  json["roles"] = Json::object();
  for (const auto& [name, dimensions] : plan.parameters) {
    for (const auto& [dim, kept] : dimensions) {
      json["parameters"][name][std::to_string(dim)] = kept_json(kept);
      if (!kept.role.empty()) json["roles"][name][std::to_string(dim)] = kept.role;
    }
  }
  json["refit"] = plan.refit;
  json["dropped"] = plan.dropped;
  return json_text(json);
}

Plan plan_from_json(const std::string& text) {
  const Json json = parse_json(text, "plan");
  JsonObject object = read_format(json, "cpd-plan", kVersion);
  Plan plan;
  object.read("model", plan.model).read("units", plan.units);
  if (const Json* parameters = object.take("parameters")) {
    read_parameters(*parameters, "parameters", plan);
  }
  if (const Json* roles = object.take("roles")) read_roles(*roles, "roles", plan);
  object.read("refit", plan.refit).read("dropped", plan.dropped).finish();
  plan.verify();
  return plan;
}

std::string to_json(const Choices& choices) {
  Json json = Json::object();
  for (const auto& [name, choice] : choices) {
    std::visit([&, &key = name](auto value) { json[key] = value; }, choice);
  }
  return json_text(json);
}

Choices choices_from_json(const std::string& text) {
  const Json json = parse_json(text, "choices");
  if (!object_at(json, "").contains("format")) return read_choices(json, "");
  JsonObject object = read_format(json, "cpd-choices", kVersion);
  Json choices = Json::object();
  object.require("choices", choices).finish();
  return read_choices(object_at(choices, "choices"), "choices");
}

std::variant<Choices, Plan> choices_or_plan_from_json(const std::string& text) {
  const Json json = parse_json(text, "plan or choices");
  if (object_at(json, "").value("format", Json()) == "cpd-plan") return plan_from_json(text);
  return choices_from_json(text);
}

}  // namespace cpd
