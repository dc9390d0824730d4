#include <cpd/cli/arguments.h>
#include <cpd/cli/output.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

namespace cpd::cli {
namespace {

namespace fs = std::filesystem;

/// Arguments and options that name a file which is read.
constexpr const char* kRead[] = {"MODEL",   "DENSE",  "PRUNED", "PLAN",          "TEACHER", "plan",
                                 "choices", "groups", "config", "latency-table", "data"};

}  // namespace

void add_output_options(po::options_description& options, const std::string& what) {
  options.add_options()("output,o", value("FILE"), ("write " + what + " to a file").c_str())(
      "json", "print the result as JSON to standard output")("force", "replace existing files");
}

void check_output(const po::variables_map& values, const std::string& path) {
  std::error_code ignored;
  if (path.empty()) throw UsageError("the name of the file to write is empty");
  if (fs::is_directory(path, ignored)) {
    throw Error("is a folder", {.path = path}, "the name of a file to write");
  }
  for (const char* name : kRead) {
    const std::string read = text_of(values, name);
    if (!read.empty() && fs::equivalent(read, path, ignored)) {
      throw Error("is read by this command", {.path = path}, "another file to write to");
    }
  }
  const fs::path folder = fs::absolute(path).parent_path();
  if (!fs::is_directory(folder, ignored)) {
    throw Error("the folder is not there", {.path = path}, "a file in a folder that exists");
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    throw Error("the folder cannot be written to", {.path = path}, "a writable place");
  }
  if (!fs::exists(path, ignored)) return;
  if (!fs::is_regular_file(path, ignored)) {
    throw Error("is no regular file", {.path = path}, "the name of a file to write");
  }
  if (values.count("force") > 0) return;
  throw Error("exists already", {.path = path}, "a new file, or --force to replace it");
}

void check_outputs(const po::variables_map& values, const std::vector<std::string>& options) {
  std::set<std::string> seen;
  for (const auto& option : options) {
    const std::string path = text_of(values, option);
    if (!given(values, option)) continue;
    check_output(values, path);
    if (!seen.insert(fs::absolute(path).lexically_normal().string()).second) {
      throw UsageError("--" + option + ": " + path + " is written by another option already");
    }
  }
}

void deliver(const po::variables_map& values, const std::string& text,
             const std::function<std::string()>& json) {
  const std::string path = text_of(values, "output");
  if (!path.empty()) {
    check_output(values, path);
    write_file(path, json());
  }
  if (values.count("json") == 0) {
    std::cout << text;
  } else if (path.empty()) {
    std::cout << json();
  }
}

std::string facts_text(const std::vector<std::pair<std::string, std::string>>& facts) {
  size_t widest = 0;
  for (const auto& [name, fact] : facts) widest = std::max(widest, name.size());
  std::string text;
  for (const auto& [name, fact] : facts) {
    text += name + std::string(widest + 2 - name.size(), ' ') + fact + "\n";
  }
  return text;
}

void warn(const std::string& text) { std::cerr << "warning: " << text << "\n"; }

}  // namespace cpd::cli
