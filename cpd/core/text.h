#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cpd {

/// Does a name match a pattern? `*` stands for any characters, also none; `?` for one:
/// `layer1.*` matches `layer1.0.conv1`. Anything else stands for itself.
bool matches(std::string_view pattern, std::string_view name);

/// The known name that differs least from a mistyped one; empty if none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& known);
/// ` (did you mean 'momentum'?)`, or nothing if no known name is near.
std::string suggestion(std::string_view name, const std::vector<std::string>& known);

/// The names with commas between: `a, b, c`.
std::string joined(const std::vector<std::string>& names, std::string_view between = ", ");

/// A count in three digits and a letter: `40.6 M`, `1.82 G`, `512`.
std::string count_text(double count);
/// A number of bytes: `1.20 GB`, `44.7 MB`, `96 B`; 1 kB is 1000 bytes.
std::string bytes_text(double bytes);
/// A time in seconds: `12.3 ms`, `1.25 s`.
std::string seconds_text(double seconds);
/// A fraction: `48.7 %`.
std::string percent_text(double fraction);

/// Rows of text under each other: columns of numbers end, columns of words begin at the same place.
class Table {
 public:
  /// Column titles; none: no title line.
  explicit Table(std::vector<std::string> titles = {});
  /// Adds a row; throws cpd::Error if it has more cells than there are titles.
  Table& row(std::vector<std::string> cells);
  std::string text() const;

 private:
  bool numeric(size_t column) const;

  std::vector<std::string> titles_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace cpd
