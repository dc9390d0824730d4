#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/mutators/mutator_options.h>

#include <algorithm>
#include <map>

namespace cpd {
namespace {

void check_type(const Json& json, const std::string& path, const std::vector<std::string>& types) {
  std::string type;
  read_json(json, path, type);
  for (const auto& known : types) {
    if (type == known) return;
  }
  throw_wrong_type(json, path, joined(types));
}

/// The unit kinds of the documents differ in their score alone.
void read_unit_type(const Json& json, const std::string& path, MutatorOptions& options) {
  static const std::map<std::string, std::string> importance_of = {
      {"MutableChannelUnit", ""},     {"ChannelUnit", ""},     {"L1ChannelUnit", "l1"},
      {"L1MutableChannelUnit", "l1"}, {"L2ChannelUnit", "l2"}, {"FPGMChannelUnit", "fpgm"},
      {"RandomChannelUnit", "random"}};
  std::string type;
  read_json(json, path, type);
  const auto found = importance_of.find(type);
  if (found == importance_of.end()) {
    std::vector<std::string> names;
    for (const auto& [name, importance] : importance_of) names.push_back(name);
    throw_wrong_type(json, path, joined(names) + suggestion(type, names));
  }
  if (!found->second.empty()) options.importance = found->second;
}

void read_overrides(const Json& json, const std::string& path, MutatorOptions& options) {
  if (!json.is_object()) throw_wrong_type(json, path, "an object of unit names");
  for (const auto& [name, value] : json.items()) {
    UnitOverride unit;
    read_json(value, key_path(path, name), unit);
    options.units.emplace_back(name, unit);
  }
}

/// `unit` is flat; the documents' form has `type`, `default_args` and `units` in it.
void read_unit(const Json& json, const std::string& path, MutatorOptions& options) {
  if (!json.is_object()) throw_wrong_type(json, path, "an object");
  Json fields = json;
  if (fields.contains("type")) read_unit_type(fields["type"], key_path(path, "type"), options);
  if (fields.contains("default_args")) {
    read_json(fields["default_args"], key_path(path, "default_args"), options.unit);
  }
  if (fields.contains("units")) read_overrides(fields["units"], key_path(path, "units"), options);
  for (const char* key : {"type", "default_args", "units"}) fields.erase(key);
  read_json(fields, path, options.unit);
}

void read_importance(const Json& json, const std::string& path, MutatorOptions& options) {
  std::string name;
  read_json(json, path, name);
  try {
    options.importance = name;
  } catch (const Error& error) {
    throw Error(error.problem(), {.path = path}, error.expected());
  }
}

void check_per(const std::string& cost, const std::string& path) {
  const std::vector<std::string> known{"macs", "params", "memory", "latency"};
  if (cost.empty() || std::find(known.begin(), known.end(), cost) != known.end()) return;
  throw Error("there is no cost '" + cost + "'" + suggestion(cost, known), {.path = path},
              joined(known));
}

}  // namespace

void read_json(const Json& json, const std::string& path, MutatorOptions& options) {
  JsonObject object(json, path);
  if (const Json* type = object.take("type")) {
    check_type(*type, key_path(path, "type"), {"ChannelMutator", "BaseChannelMutator"});
  }
  for (const char* key : {"channel_unit_cfg", "channl_unit_cfg", "unit"}) {
    if (const Json* unit = object.take(key)) read_unit(*unit, key_path(path, key), options);
  }
  if (const Json* units = object.take("units")) {
    read_overrides(*units, key_path(path, "units"), options);
  }
  if (const Json* importance = object.take("importance")) {
    read_importance(*importance, key_path(path, "importance"), options);
  }
  object.read("normalise", options.normalise).read("per", options.per);
  check_per(options.per, key_path(path, "per"));
  object.read("freeze", options.freeze)
      .read("only", options.only)
      .read("floor", options.floor)
      .read("exact_only", options.exact_only)
      .read("blocks", options.blocks)
      .read("seed", options.seed)
      .finish();
  check_range(key_path(path, "floor"), options.floor, 0, 1);
}

bool MutatorOptions::offers_blocks() const {
  return blocks || std::any_of(only.begin(), only.end(), [](const std::string& pattern) {
           return pattern == "blocks" || pattern.rfind("blocks.", 0) == 0;
         });
}

void to_json(Json& json, const MutatorOptions& options) {
  json = Json{{"type", "ChannelMutator"},
              {"importance", options.importance.name},
              {"unit", options.unit},
              {"floor", options.floor},
              {"exact_only", options.exact_only},
              {"blocks", options.blocks},
              {"seed", options.seed}};
  if (options.normalise) json["normalise"] = *options.normalise;
  if (!options.per.empty()) json["per"] = options.per;
  if (!options.freeze.empty()) json["freeze"] = options.freeze;
  if (!options.only.empty()) json["only"] = options.only;
}

}  // namespace cpd
