#include <cpd/cli/arguments.h>

#include <charconv>
#include <cmath>
#include <sstream>

namespace cpd::cli {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& text,
                         const std::string& expected) {
  throw UsageError("--" + name + ": the value is '" + text + "'; expected " + expected);
}

template <typename Number>
bool read(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return !text.empty() && result.ec == std::errc() && result.ptr == end;
}

template <typename Number>
std::string range_text(Number low, Number high) {
  std::ostringstream out;
  if (high == std::numeric_limits<Number>::max()) {
    out << low << " or more";
  } else {
    out << "from " << low << " to " << high;
  }
  return out.str();
}

}  // namespace

po::typed_value<std::string>* value(const std::string& what) {
  return po::value<std::string>()->value_name(what);
}

po::typed_value<std::vector<std::string>>* values(const std::string& what) {
  return po::value<std::vector<std::string>>()->value_name(what);
}

bool given(const po::variables_map& values, const std::string& name) {
  return values.count(name) > 0 && !values[name].defaulted();
}

std::string text_of(const po::variables_map& values, const std::string& name) {
  return values.count(name) > 0 ? values[name].as<std::string>() : "";
}

std::vector<std::string> texts_of(const po::variables_map& values, const std::string& name) {
  if (values.count(name) == 0) return {};
  return values[name].as<std::vector<std::string>>();
}

int64_t whole_of(const po::variables_map& values, const std::string& name, int64_t low,
                 int64_t high) {
  const std::string text = text_of(values, name);
  int64_t number = 0;
  if (!read(text, number) || number < low || number > high) {
    refuse(name, text, "a whole number, " + range_text(low, high));
  }
  return number;
}

double real_of(const po::variables_map& values, const std::string& name, double low, double high) {
  const std::string text = text_of(values, name);
  double number = 0;
  if (!read(text, number) || !std::isfinite(number) || number < low || number > high) {
    refuse(name, text, "a number, " + range_text(low, high));
  }
  return number;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

}  // namespace cpd::cli
