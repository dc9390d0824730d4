#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cpd {

using Json = nlohmann::ordered_json;

/// `path` with a key below it: `mutator` and `unit` give `mutator.unit`.
std::string key_path(const std::string& path, const std::string& key);

/// Parses text; throws cpd::Error that names `origin` (a file, say) and the line.
Json parse_json(const std::string& text, const std::string& origin);
/// Reads and parses a file; throws cpd::Error that names it.
Json read_json_file(const std::string& path);

/// Text for files that people read: an object's keys under each other, lists of numbers and short
/// texts in one line; ends with a line break.
std::string json_text(const Json& json);

/// Throws cpd::Error: the value at `path` is not what was `expected`.
[[noreturn]] void throw_wrong_type(const Json& json, const std::string& path,
                                   const std::string& expected);

// Strict readers, one for each type: a wrong type or a number out of range throws cpd::Error with
// the key's path. A type of one's own gets a reader of the same form in its own namespace.
void read_json(const Json& json, const std::string& path, bool& value);
void read_json(const Json& json, const std::string& path, int64_t& value);
void read_json(const Json& json, const std::string& path, uint64_t& value);
void read_json(const Json& json, const std::string& path, int& value);
void read_json(const Json& json, const std::string& path, double& value);
void read_json(const Json& json, const std::string& path, std::string& value);
/// Takes anything: for values whose type is not known beforehand.
void read_json(const Json& json, const std::string& path, Json& value);

template <typename T>
void read_json(const Json& json, const std::string& path, std::vector<T>& value) {
  if (!json.is_array()) throw_wrong_type(json, path, "a list");
  value.clear();
  for (size_t i = 0; i < json.size(); ++i) {
    T element{};
    read_json(json[i], path + "[" + std::to_string(i) + "]", element);
    value.push_back(std::move(element));
  }
}

/// An object whose keys are names.
template <typename T>
void read_json(const Json& json, const std::string& path, std::map<std::string, T>& value) {
  if (!json.is_object()) throw_wrong_type(json, path, "an object");
  value.clear();
  for (const auto& [name, element] : json.items()) {
    read_json(element, key_path(path, name), value[name]);
  }
}

/// null reads as nothing.
template <typename T>
void read_json(const Json& json, const std::string& path, std::optional<T>& value) {
  if (json.is_null()) return value.reset();
  T element{};
  read_json(json, path, element);
  value = std::move(element);
}

/// Reads an object key by key, into variables that hold the defaults:
/// `JsonObject(json, path).read("lr", lr).read("momentum", momentum).finish();`
class JsonObject {
 public:
  /// Throws cpd::Error if `json` is no object. Keeps a reference to it.
  JsonObject(const Json& json, std::string path);

  /// Sets `value` if the key is there.
  template <typename T>
  JsonObject& read(const std::string& key, T& value) {
    if (const Json* found = take(key)) read_json(*found, key_path(path_, key), value);
    return *this;
  }
  /// The same, but throws cpd::Error if the key is missing.
  template <typename T>
  JsonObject& require(const std::string& key, T& value) {
    if (!json_->contains(key)) throw_missing(key);
    return read(key, value);
  }
  /// The value of a key, or null if it is not there; counts as read.
  const Json* take(const std::string& key);
  const std::string& path() const { return path_; }
  /// Throws cpd::Error if the object has a key that was never asked for; names the known ones.
  void finish() const;

 private:
  [[noreturn]] void throw_missing(const std::string& key) const;

  const Json* json_;
  std::string path_;
  std::vector<std::string> known_;
};

/// Reads an enumeration from its name; `names` in the order of the values 0, 1, ...
template <typename Enum>
void read_json_name(const Json& json, const std::string& path,
                    const std::vector<std::string>& names, Enum& value) {
  std::string name;
  read_json(json, path, name);
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) {
      value = static_cast<Enum>(i);
      return;
    }
  }
  std::string list;
  for (const std::string& each : names) list += (list.empty() ? "" : ", ") + each;
  throw_wrong_type(json, path, "one of " + list);
}

/// Throws cpd::Error unless low <= value <= high; names the key's path, the value and the range.
void check_range(const std::string& path, double value, double low,
                 double high = std::numeric_limits<double>::infinity());

}  // namespace cpd
