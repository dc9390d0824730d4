#pragma once

#include <cpd/cli/command.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace cpd::cli {

/// Adds `-o`, `--json` and `--force`; `what` is what `-o` writes.
void add_output_options(po::options_description& options,
                        const std::string& what = "the result as JSON");

/// Refuses, before any work is done, a file that must not be written: a folder, something that is
/// no regular file, one of the files that the command reads, or one that exists already and
/// `--force` is not given. Throws cpd::Error.
void check_output(const po::variables_map& values, const std::string& path);
/// The same for all files that these options name, which must differ from each other.
void check_outputs(const po::variables_map& values, const std::vector<std::string>& options);

/// Hands over a result: as JSON to the file of `-o`, else with `--json` to standard output; as
/// text to standard output unless `--json` is given.
void deliver(const po::variables_map& values, const std::string& text,
             const std::function<std::string()>& json);

/// Names with what is to be said of them, under each other: words begin at the same place.
std::string facts_text(const std::vector<std::pair<std::string, std::string>>& facts);

/// Tells something on standard error that needs attention but stops nothing.
void warn(const std::string& text);

}  // namespace cpd::cli
