#include <cpd/core/error.h>
#include <cpd/plan/format.h>

namespace cpd {

Json begin_format(const std::string& format, int64_t version) {
  Json json;
  json["format"] = format;
  json["version"] = version;
  return json;
}

JsonObject read_format(const Json& json, const std::string& format, int64_t version) {
  if (!json.is_object() || !json.contains("format")) {
    throw Error("this is no " + format, {}, "an object with \"format\": \"" + format + "\"");
  }
  std::string found;
  int64_t found_version = 0;
  JsonObject object(json, "");
  object.require("format", found);
  if (found != format) {
    throw Error("the format is '" + found + "'", {.path = "format"}, "'" + format + "'");
  }
  object.require("version", found_version);
  if (found_version < 1 || found_version > version) {
    const bool newer = found_version > version;
    throw Error(format + " of version " + std::to_string(found_version) +
                    (newer ? " is newer than this program" : " never was"),
                {.path = "version"},
                "version " + std::to_string(version) + (version > 1 ? " or older" : ""));
  }
  return object;
}

const Json& object_at(const Json& json, const std::string& path) {
  if (!json.is_object()) throw_wrong_type(json, path, "an object");
  return json;
}

Json identity_json(const ModelIdentity& identity) {
  return {{"structure", identity.structure}, {"weights", identity.weights}};
}

void read_json(const Json& json, const std::string& path, ModelIdentity& identity) {
  JsonObject(json, path)
      .read("structure", identity.structure)
      .read("weights", identity.weights)
      .finish();
}

}  // namespace cpd
