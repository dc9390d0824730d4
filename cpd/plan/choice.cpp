#include <cpd/core/error.h>
#include <cpd/plan/choice.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

namespace cpd {

bool Bounds::allows(int64_t k) const {
  if (k < std::max<int64_t>(min, 0) || k > largest()) return false;
  return k == of || (k * width) % divisor == 0;
}

int64_t Bounds::smallest() const {
  for (int64_t k = std::max<int64_t>(min, 0); k <= largest(); ++k) {
    if (allows(k)) return k;
  }
  return of;
}

int64_t Bounds::at_most(int64_t k) const {
  for (int64_t candidate = std::min(k, largest()); candidate >= 0; --candidate) {
    if (allows(candidate)) return candidate;
  }
  return smallest();
}

std::optional<int64_t> Bounds::below(int64_t k) const {
  for (int64_t candidate = k - 1; candidate >= 0; --candidate) {
    if (allows(candidate)) return candidate;
  }
  return std::nullopt;
}

std::optional<int64_t> Bounds::above(int64_t k) const {
  for (int64_t candidate = k + 1; candidate <= largest(); ++candidate) {
    if (allows(candidate)) return candidate;
  }
  return std::nullopt;
}

void Bounds::verify(const std::string& unit) const {
  const auto fail = [&](const std::string& problem, const std::string& expected) {
    throw Error("unit " + unit + ": " + problem, {}, expected);
  };
  if (divisor < 1) fail("divisor " + std::to_string(divisor), "1 or more");
  if (min > largest()) {
    fail("at least " + std::to_string(min) + " and at most " + std::to_string(largest()) +
             " channels contradict each other",
         "min <= max");
  }
  if (largest() > of) {
    fail("at most " + std::to_string(largest()) + " channels",
         "no more than its " + std::to_string(of));
  }
  for (int64_t k = 0; k <= of; ++k) {
    if (allows(k)) return;
  }
  fail("no number of channels between " + std::to_string(min) + " and " +
           std::to_string(largest()) + " gives a multiple of " + std::to_string(divisor),
       "bounds that leave a choice");
}

int64_t number_of(const Choice& choice, int64_t of, const std::string& unit) {
  if (const auto* ratio = std::get_if<double>(&choice)) {
    if (!(*ratio > 0 && *ratio <= 1)) {
      throw Error("unit " + unit + ": ratio " + std::to_string(*ratio), {}, "a ratio in (0, 1]");
    }
    const auto kept = static_cast<int64_t>(std::floor(static_cast<double>(of) * *ratio + 1e-9));
    return std::max<int64_t>(1, kept);
  }
  const int64_t number = std::get<int64_t>(choice);
  if (number < 1 || number > of) {
    throw Error("unit " + unit + ": " + std::to_string(number) + " channels", {},
                "1 to " + std::to_string(of));
  }
  return number;
}

Amount parse_amount(const std::string& text) {
  static const std::map<std::string, double> units = {
      {"", 1},     {"k", 1e3},  {"K", 1e3},  {"M", 1e6}, {"G", 1e9},   {"T", 1e12},  {"kB", 1e3},
      {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},   {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
  const std::string expected = "a fraction up to 1, or an amount like 2G, 5M, 100MB, 12ms";
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto unit = units.find(std::string(end, text.data() + text.size()));
  if (error != std::errc() || unit == units.end()) {
    throw Error("'" + text + "' is no budget", {}, expected);
  }
  if (!(value > 0) || !std::isfinite(value)) throw Error("budget '" + text + "'", {}, expected);
  const bool fraction = unit->first.empty() && value <= 1;
  return {value * unit->second, fraction};
}

std::string to_text(const Amount& amount) {
  std::array<char, 400> text{};
  const auto written =
      std::to_chars(text.data(), text.data() + text.size(), amount.value, std::chars_format::fixed);
  // Only seconds are absolute and below 1: without the unit they would read as a fraction.
  const bool ambiguous = !amount.fraction && amount.value <= 1;
  return std::string(text.data(), written.ptr) + (ambiguous ? "s" : "");
}

}  // namespace cpd
