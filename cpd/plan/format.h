#pragma once

#include <cpd/core/json.h>
#include <cpd/plan/groups.h>
#include <cpd/plan/plan.h>

#include <string>

namespace cpd {

/// An object that begins with its format and version, as every file of cpd does.
Json begin_format(const std::string& format, int64_t version);
/// Starts reading such an object; throws cpd::Error if it has another format or a version newer
/// than `version`: the message has both numbers.
JsonObject read_format(const Json& json, const std::string& format, int64_t version);

/// Throws cpd::Error unless `json` is an object; returns it.
const Json& object_at(const Json& json, const std::string& path);

/// The key `model` of plans, groups and reports.
Json identity_json(const ModelIdentity& identity);
void read_json(const Json& json, const std::string& path, ModelIdentity& identity);
/// An entry of the list `locked` of groups and reports.
Json locked_json(const LockedEntry& entry);
void read_json(const Json& json, const std::string& path, LockedEntry& entry);

}  // namespace cpd
