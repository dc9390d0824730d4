#pragma once

#include <cpd/cli/command.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace cpd::cli {

// Options are declared as text and read here, so that a wrong value is told with the option's name
// and what was expected. All of these throw UsageError.

/// An option that takes a value; `what` is its name in the help: `N`, `FILE`.
po::typed_value<std::string>* value(const std::string& what);
/// One that may be given several times.
po::typed_value<std::vector<std::string>>* values(const std::string& what);

bool given(const po::variables_map& values, const std::string& name);
/// The text of an option; empty if it was not given and has no default.
std::string text_of(const po::variables_map& values, const std::string& name);
/// The texts of an option that may be given several times.
std::vector<std::string> texts_of(const po::variables_map& values, const std::string& name);
int64_t whole_of(const po::variables_map& values, const std::string& name, int64_t low,
                 int64_t high = std::numeric_limits<int64_t>::max());
double real_of(const po::variables_map& values, const std::string& name, double low, double high);

/// The parts of a text between commas.
std::vector<std::string> split(const std::string& text, char separator = ',');

/// Runs `act`; what cpd finds wrong in it is wrong usage of an option.
template <typename Act>
auto as_usage(const std::string& option, const Act& act) {
  try {
    return act();
  } catch (const Error& error) {
    const std::string& expected = error.expected();
    throw UsageError("--" + option + ": " + error.problem() +
                     (expected.empty() ? "" : "; expected " + expected));
  }
}

/// Runs `act`; what cpd finds wrong in it is told with the name of a file.
template <typename Act>
auto at_path(const std::string& path, const Act& act) {
  try {
    return act();
  } catch (const Error& error) {
    Where where = error.where();
    where.path = where.path.empty() ? path : path + ": " + where.path;
    throw Error(error.problem(), where, error.expected());
  }
}

/// Reads a file with `parse`; what is wrong in it is told with the file's name.
template <typename Parse>
auto in_file(const std::string& path, const Parse& parse) {
  const std::string text = read_file(path);
  return at_path(path, [&] { return parse(text); });
}

}  // namespace cpd::cli
