#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/plan/format.h>
#include <cpd/plan/groups.h>

#include <algorithm>
#include <charconv>

namespace cpd {

// Found by argument-dependent lookup from the readers of lists and maps.
void read_json(const Json& json, const std::string& path, GroupMember& member);
void read_json(const Json& json, const std::string& path, GroupEntry& entry);

namespace {

constexpr int kVersion = 1;

[[noreturn]] void fail(const std::string& path, const std::string& problem,
                       const std::string& expected = "") {
  throw Error(problem, {.path = path}, expected);
}

/// `0:4` for a run of indices, else the list.
Json run_json(const Indices& list) {
  const bool ascending = std::is_sorted(list.begin(), list.end(), std::less_equal<>());
  const auto count = static_cast<int64_t>(list.size());
  if (count < 2 || !ascending || list.back() - list.front() != count - 1) return list;
  return std::to_string(list.front()) + ":" + std::to_string(list.back() + 1);
}

Indices run_from(const Json& json, const std::string& path) {
  Indices list;
  if (!json.is_string()) {
    read_json(json, path, list);
    return list;
  }
  constexpr int64_t kLongest = int64_t{1} << 24;
  const std::string text = json.get<std::string>();
  int64_t first = 0, end = 0;
  const char* const last = text.data() + text.size();
  const auto [colon, error] = std::from_chars(text.data(), last, first);
  const bool whole = error == std::errc() && colon != last && *colon == ':';
  const auto rest = whole ? std::from_chars(colon + 1, last, end) : std::from_chars_result{};
  if (!whole || rest.ec != std::errc() || rest.ptr != last || first < 0 || end <= first ||
      end - first > kLongest) {
    fail(path, "'" + text + "' is no run of indices", "one such as 0:4, or a list");
  }
  for (int64_t i = first; i < end; ++i) list.push_back(i);
  return list;
}

Json member_json(const GroupMember& member) {
  Json indices = Json::array();
  for (const Indices& list : member.indices) indices.push_back(run_json(list));
  return {{"parameter", member.parameter},
          {"dim", member.dim},
          {"role", member.role},
          {"indices", indices}};
}

Json entry_json(const GroupEntry& entry) {
  Json json = {{"kind", entry.kind},     {"level", entry.level},    {"role", entry.role},
               {"of", entry.of},         {"blocks", entry.blocks},  {"offered", entry.offered},
               {"reason", entry.reason}, {"frozen", entry.frozen},  {"min", entry.min},
               {"max", entry.max},       {"divisor", entry.divisor}};
  json["members"] = Json::array();
  for (const auto& member : entry.members) json["members"].push_back(member_json(member));
  return json;
}

void verify_member(const GroupMember& member, const GroupEntry& entry, const std::string& path) {
  if (member.parameter.empty()) fail(path + ".parameter", "the name is empty");
  if (member.dim < 0) fail(path + ".dim", "the dimension is negative", "0 or more");
  if (member.role != "writer" && member.role != "reader" && member.role != "along") {
    fail(path + ".role", "the role is '" + member.role + "'", "writer, reader or along");
  }
  if (static_cast<int64_t>(member.indices.size()) != entry.blocks) {
    fail(path + ".indices", std::to_string(member.indices.size()) + " lists",
         std::to_string(entry.blocks) + ", one for each block");
  }
  for (const Indices& list : member.indices) {
    const bool ascending = std::is_sorted(list.begin(), list.end(), std::less_equal<>());
    if (!ascending || (!list.empty() && list.front() < 0)) {
      fail(path + ".indices", "the indices are not ascending", "ascending indices from 0");
    }
  }
}

void verify_entry(const GroupEntry& entry, const std::string& path) {
  const auto whole = [&](const char* key, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return;
    fail(key_path(path, key), "the value is " + std::to_string(value),
         std::to_string(low) + " to " + std::to_string(high));
  };
  whole("of", entry.of, 1, INT64_MAX);
  whole("blocks", entry.blocks, 1, INT64_MAX);
  whole("min", entry.min, entry.kind == "blocks" ? 0 : 1, entry.of);
  if (entry.max != -1) whole("max", entry.max, entry.min, entry.of);
  whole("divisor", entry.divisor, 1, INT64_MAX);
  for (size_t i = 0; i < entry.members.size(); ++i) {
    verify_member(entry.members[i], entry, path + ".members[" + std::to_string(i) + "]");
  }
}

/// The entry as it would be had nobody edited it.
GroupEntry unedited(GroupEntry entry, const GroupEntry& own) {
  entry.frozen = own.frozen;
  entry.min = own.min;
  entry.max = own.max;
  entry.divisor = own.divisor;
  return entry;
}

/// The first key in which two JSON objects differ.
std::string first_difference(const Json& a, const Json& b) {
  for (const auto& [key, value] : a.items()) {
    if (!b.contains(key) || b[key] != value) return key;
  }
  return "";
}

}  // namespace

void read_json(const Json& json, const std::string& path, GroupMember& member) {
  std::vector<Json> lists;
  JsonObject(json, path)
      .require("parameter", member.parameter)
      .require("dim", member.dim)
      .require("role", member.role)
      .require("indices", lists)
      .finish();
  member.indices.clear();
  for (size_t i = 0; i < lists.size(); ++i) {
    const std::string place = key_path(path, "indices") + "[" + std::to_string(i) + "]";
    member.indices.push_back(run_from(lists[i], place));
  }
}

void read_json(const Json& json, const std::string& path, GroupEntry& entry) {
  JsonObject(json, path)
      .require("kind", entry.kind)
      .require("level", entry.level)
      .read("role", entry.role)
      .require("of", entry.of)
      .require("blocks", entry.blocks)
      .read("offered", entry.offered)
      .read("reason", entry.reason)
      .read("frozen", entry.frozen)
      .read("min", entry.min)
      .read("max", entry.max)
      .read("divisor", entry.divisor)
      .require("members", entry.members)
      .finish();
}

void read_json(const Json& json, const std::string& path, LockedEntry& entry) {
  JsonObject(json, path)
      .require("parameter", entry.parameter)
      .require("dim", entry.dim)
      .require("count", entry.count)
      .require("reason", entry.reason)
      .read("op", entry.op)
      .read("source", entry.source)
      .finish();
}

Json locked_json(const LockedEntry& entry) {
  return {{"parameter", entry.parameter}, {"dim", entry.dim}, {"count", entry.count},
          {"reason", entry.reason},       {"op", entry.op},   {"source", entry.source}};
}

void Groups::verify() const {
  for (const auto& [name, entry] : units) verify_entry(entry, "units." + name);
}

std::string to_json(const Groups& groups) {
  Json json = begin_format("cpd-groups", kVersion);
  json["model"] = identity_json(groups.model);
  json["units"] = Json::object();
  for (const auto& [name, entry] : groups.units) json["units"][name] = entry_json(entry);
  json["locked"] = Json::array();
  for (const auto& entry : groups.locked) json["locked"].push_back(locked_json(entry));
  json["unknown_ops"] = groups.unknown_ops;
  return json_text(json);
}

Groups groups_from_json(const std::string& text) {
  const Json json = parse_json(text, "groups");
  JsonObject object = read_format(json, "cpd-groups", kVersion);
  Groups groups;
  object.read("model", groups.model)
      .require("units", groups.units)
      .read("locked", groups.locked)
      .read("unknown_ops", groups.unknown_ops)
      .finish();
  groups.verify();
  return groups;
}

void check_edited(const Groups& edited, const Groups& own) {
  if (edited.model.structure != own.model.structure) {
    fail("model.structure", "the groups are those of another network, " + edited.model.structure,
         own.model.structure);
  }
  std::vector<std::string> names;
  for (const auto& [name, entry] : own.units) names.push_back(name);
  for (const auto& [name, entry] : edited.units) {
    const auto found = own.units.find(name);
    if (found == own.units.end()) {
      fail(key_path("units", name), "the network has no such unit" + suggestion(name, names));
    }
    const GroupEntry plain = unedited(entry, found->second);
    if (plain == found->second) continue;
    const std::string key = first_difference(entry_json(plain), entry_json(found->second));
    fail(key_path(key_path("units", name), key), "the value was changed",
         "changes of frozen, min, max and divisor only");
  }
  for (const std::string& name : names) {
    if (edited.units.count(name) == 0) {
      fail(key_path("units", name), "the unit is missing", "every unit of the network");
    }
  }
}

}  // namespace cpd
