#include <cpd/core/error.h>
#include <cpd/core/json.h>
#include <cpd/plan/plan.h>

namespace cpd {
namespace {

constexpr int kVersion = 1;

void verify_list(const Indices& kept, int64_t of, const std::string& what) {
  if (kept.empty()) throw Error(what + " keeps nothing", {}, "at least one index");
  int64_t last = -1;
  for (int64_t index : kept) {
    if (index <= last) throw Error(what + " is not ascending at " + std::to_string(index));
    if (of >= 0 && index >= of) {
      throw Error(what + " keeps index " + std::to_string(index), {}, "less than " + std::to_string(of));
    }
    last = index;
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

const Json& object_at(const Json& json, const std::string& path) {
  if (!json.is_object()) throw_wrong_type(json, path, "an object");
  return json;
}

void check_format(const Json& json, const std::string& format) {
  std::string found;
  int64_t version = 0;
  if (!json.is_object() || !json.contains("format")) {
    throw Error("this is no " + format, {}, "an object with \"format\": \"" + format + "\"");
  }
  read_json(json["format"], "format", found);
  if (found != format) throw Error("the format is '" + found + "'", {"", "", "format"}, format);
  if (!json.contains("version")) throw Error("the version is missing", {"", "", "version"});
  read_json(json["version"], "version", version);
  if (version > kVersion) {
    throw Error(format + " of version " + std::to_string(version) + " is newer than this program",
                {"", "", "version"}, "version " + std::to_string(kVersion) + " or older");
  }
}

void read_parameters(const Json& json, const std::string& path, Plan& plan) {
  for (const auto& [name, dimensions] : object_at(json, path).items()) {
    const std::string here = key_path(path, name);
    for (const auto& [key, kept] : object_at(dimensions, here).items()) {
      plan.parameters[name][dimension_number(key, here)] = read_dimension(kept, key_path(here, key));
    }
  }
}

void read_roles(const Json& json, const std::string& path, Plan& plan) {
  for (const auto& [name, dimensions] : object_at(json, path).items()) {
    const std::string here = key_path(path, name);
    for (const auto& [key, role] : object_at(dimensions, here).items()) {
      const auto entry = plan.parameters.find(name);
      if (entry == plan.parameters.end()) throw Error("a role for a parameter without a plan", {"", "", here});
      read_json(role, key_path(here, key), entry->second[dimension_number(key, here)].role);
    }
  }
}

}  // namespace

void Plan::verify() const {
  for (const auto& [name, unit] : units) {
    for (const auto& kept : unit.kept) {
      verify_list(kept, unit.of, "unit " + name);
      if (kept.size() != unit.kept.front().size()) {
        throw Error("unit " + name + " keeps different numbers in its blocks");
      }
    }
    if (unit.kept.empty()) throw Error("unit " + name + " has no block");
  }
  for (const auto& [name, dimensions] : parameters) {
    for (const auto& [dim, plan] : dimensions) {
      for (const auto& kept : plan.kept) {
        if (plan.along.empty()) verify_list(kept, -1, "parameter " + name);
      }
    }
  }
}

std::string to_json(const Plan& plan) {
  Json json;
  json["format"] = "cpd-plan";
  json["version"] = kVersion;
  json["model"] = {{"structure", plan.model.structure}, {"weights", plan.model.weights}};
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
      json["roles"][name][std::to_string(dim)] = kept.role;
    }
  }
  json["refit"] = plan.refit;
  json["dropped"] = plan.dropped;
  return json.dump(1) + "\n";
}

Plan plan_from_json(const std::string& text) {
  const Json json = parse_json(text, "plan");
  check_format(json, "cpd-plan");
  Plan plan;
  JsonObject object(json, "");
  object.take("format");
  object.take("version");
  if (const Json* model = object.take("model")) {
    JsonObject(*model, "model")
        .read("structure", plan.model.structure)
        .read("weights", plan.model.weights)
        .finish();
  }
  if (const Json* units = object.take("units")) {
    for (const auto& [name, unit] : object_at(*units, "units").items()) {
      UnitPlan& entry = plan.units[name];
      JsonObject reader(unit, "units." + name);
      reader.require("of", entry.of);
      const Json* kept = reader.take("kept");
      if (kept == nullptr) throw Error("the key 'kept' is missing", {"", "", reader.path()});
      reader.finish();
      entry.kept = read_dimension(*kept, key_path(reader.path(), "kept")).kept;
    }
  }
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
  return json.dump(1) + "\n";
}

Choices choices_from_json(const std::string& text) {
  const Json json = parse_json(text, "choices");
  Choices choices;
  for (const auto& [name, value] : object_at(json, "").items()) {
    if (value.is_number_integer()) {
      choices[name] = value.get<int64_t>();
    } else if (value.is_number()) {
      choices[name] = value.get<double>();
    } else {
      throw_wrong_type(value, name, "a ratio in (0, 1] or a number of channels");
    }
  }
  return choices;
}

}  // namespace cpd
