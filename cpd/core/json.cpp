#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/core/text.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace cpd {
namespace {

/// A short form of a value for messages.
std::string shown(const Json& json) {
  constexpr size_t kLongest = 60;
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

std::string number_text(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

bool flat(const Json& json) {
  return std::none_of(json.begin(), json.end(), [](const Json& item) {
    return item.is_object() || (item.is_array() && !item.empty() && !flat(item));
  });
}

void write(const Json& json, size_t depth, std::string& text) {
  if (!json.is_structured() || json.empty() || (json.is_array() && flat(json))) {
    text += json.dump(-1, ' ', false, Json::error_handler_t::replace);
    return;
  }
  const std::string indent(depth + 1, ' ');
  text += json.is_object() ? "{" : "[";
  bool first = true;
  for (const auto& [key, value] : json.items()) {
    text += (first ? "\n" : ",\n") + indent;
    if (json.is_object())
      text += Json(key).dump(-1, ' ', false, Json::error_handler_t::replace) + ": ";
    write(value, depth + 1, text);
    first = false;
  }
  text += "\n" + std::string(depth, ' ') + (json.is_object() ? "}" : "]");
}

int64_t line_of(const std::string& text, size_t byte) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
  return 1 + std::count(text.begin(), end, '\n');
}

}  // namespace

std::string key_path(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

Json parse_json(const std::string& text, const std::string& origin) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    const std::string line = std::to_string(line_of(text, error.byte));
    throw Error("not readable as JSON in line " + line, {.path = origin}, "valid JSON");
  } catch (const Json::exception&) {
    throw Error("a number is too large", {.path = origin}, "numbers that fit in 64 bits");
  }
}

std::string json_text(const Json& json) {
  std::string text;
  write(json, 0, text);
  return text + "\n";
}

Json read_json_file(const std::string& path) { return parse_json(read_file(path), path); }

void throw_wrong_type(const Json& json, const std::string& path, const std::string& expected) {
  throw Error("the value is " + shown(json), {.path = path}, expected);
}

void read_json(const Json& json, const std::string& path, bool& value) {
  if (!json.is_boolean()) throw_wrong_type(json, path, "true or false");
  value = json.get<bool>();
}

void read_json(const Json& json, const std::string& path, int64_t& value) {
  const bool fits = json.is_number_integer() &&
                    !(json.is_number_unsigned() &&
                      json.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()});
  if (!fits) throw_wrong_type(json, path, "a whole number");
  value = json.get<int64_t>();
}

void read_json(const Json& json, const std::string& path, uint64_t& value) {
  const bool fits =
      json.is_number_unsigned() || (json.is_number_integer() && json.get<int64_t>() >= 0);
  if (!fits) throw_wrong_type(json, path, "a whole number of at least 0");
  value = json.get<uint64_t>();
}

void read_json(const Json& json, const std::string& path, int& value) {
  int64_t wide = 0;
  read_json(json, path, wide);
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
    throw_wrong_type(json, path, "a whole number of 32 bits");
  }
  value = static_cast<int>(wide);
}

void read_json(const Json& json, const std::string& path, double& value) {
  if (!json.is_number()) throw_wrong_type(json, path, "a number");
  value = json.get<double>();
}

void read_json(const Json& json, const std::string& path, std::string& value) {
  if (!json.is_string()) throw_wrong_type(json, path, "a text");
  value = json.get<std::string>();
}

void read_json(const Json& json, const std::string&, Json& value) { value = json; }

JsonObject::JsonObject(const Json& json, std::string path) : json_(&json), path_(std::move(path)) {
  if (!json.is_object()) throw_wrong_type(json, path_, "an object");
}

const Json* JsonObject::take(const std::string& key) {
  known_.push_back(key);
  const auto found = json_->find(key);
  return found == json_->end() ? nullptr : &*found;
}

void JsonObject::finish() const {
  for (const auto& [key, value] : json_->items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    throw Error("unknown key" + suggestion(key, known_), {.path = key_path(path_, key)},
                "one of " + joined(known_));
  }
}

void JsonObject::throw_missing(const std::string& key) const {
  throw Error("the key is missing", {.path = key_path(path_, key)});
}

void check_range(const std::string& path, double value, double low, double high) {
  if (value >= low && value <= high) return;
  const std::string expected = std::isinf(high) ? "at least " + number_text(low)
                                                : number_text(low) + " to " + number_text(high);
  throw Error("the value is " + number_text(value), {.path = path}, expected);
}

}  // namespace cpd
