#include <cpd/core/error.h>
#include <cpd/core/text.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace cpd {
namespace {

/// Levenshtein's distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string fixed(double value, int decimals) {
  std::array<char, 400> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

std::string three_digits(double value) {
  const double size = std::fabs(value);
  return fixed(value, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

/// `value` in the largest of the units, each 1000 times the one before, that leaves at least 1.
std::string scaled(double value, std::array<const char*, 5> units) {
  size_t unit = 0;
  while (std::fabs(value) >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  const bool whole = unit == 0 && value == std::floor(value);
  const std::string number = whole ? fixed(value, 0) : three_digits(value);
  return *units[unit] == '\0' ? number : number + " " + units[unit];
}

/// Characters that a terminal shows: bytes of UTF-8 that begin one.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

bool begins_as_number(const std::string& text) {
  const size_t at = text.find_first_not_of("+-");
  return at == std::string::npos || std::isdigit(static_cast<unsigned char>(text[at])) != 0;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::string nearest(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t far = distance(name, candidate);
    if (far < least && far < std::max(name.size(), candidate.size())) {
      least = far;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::string near = nearest(name, known);
  return near.empty() ? "" : " (did you mean '" + near + "'?)";
}

std::string joined(const std::vector<std::string>& names, std::string_view between) {
  std::string text;
  for (const std::string& name : names) {
    if (&name != &names.front()) text += between;
    text += name;
  }
  return text;
}

std::string count_text(double count) { return scaled(count, {"", "k", "M", "G", "T"}); }

std::string bytes_text(double bytes) { return scaled(bytes, {"B", "kB", "MB", "GB", "TB"}); }

std::string seconds_text(double seconds) {
  if (std::fabs(seconds) >= 0.9995) return three_digits(seconds) + " s";
  if (std::fabs(seconds) >= 0.9995e-3) return three_digits(seconds * 1e3) + " ms";
  return three_digits(seconds * 1e6) + " us";
}

std::string percent_text(double fraction) { return fixed(fraction * 100, 1) + " %"; }

Table::Table(std::vector<std::string> titles) : titles_(std::move(titles)) {}

Table& Table::row(std::vector<std::string> cells) {
  if (!titles_.empty() && cells.size() > titles_.size()) {
    throw Error("a row of " + std::to_string(cells.size()) + " cells", {},
                std::to_string(titles_.size()) + ", one for each title");
  }
  rows_.push_back(std::move(cells));
  return *this;
}

bool Table::numeric(size_t column) const {
  return std::all_of(rows_.begin(), rows_.end(), [&](const auto& row) {
    return column >= row.size() || begins_as_number(row[column]);
  });
}

std::string Table::text() const {
  std::vector<std::vector<std::string>> lines = rows_;
  if (!titles_.empty()) lines.insert(lines.begin(), titles_);
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()), 0);
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  std::string text;
  for (const auto& line : lines) {
    std::string written;
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string gap(widths[i] - width_of(line[i]), ' ');
      const bool right = i > 0 && numeric(i);
      written += (i > 0 ? "  " : "") + (right ? gap + line[i] : line[i] + gap);
    }
    written.erase(written.find_last_not_of(' ') + 1);
    text += written + "\n";
  }
  return text;
}

}  // namespace cpd
