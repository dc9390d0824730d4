#include <cpd/cli/arguments.h>
#include <cpd/cli/level_file.h>
#include <cpd/cli/output.h>
#include <cpd/core/text.h>
#include <cpd/zoo/zoo.h>
#include <unistd.h>

#include <filesystem>

namespace cpd::cli {
namespace {

namespace fs = std::filesystem;

/// The last part of a path without what it ends in.
std::string stem_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return fs::path(path).stem().string();
}

std::string network_name(const std::string& model) {
  if (!is_network_text(model)) return stem_of(model);
  const std::string text = model.substr(model.find(':') + 1);
  return text.substr(0, text.find(':'));
}

/// The classes that count, as a folder is called: `all`, `cat-dog`, or the name of their file.
std::string subset_name(const std::string& classes) {
  if (classes.empty()) return "all";
  return fs::is_regular_file(classes) ? stem_of(classes) : joined(split(classes), "-");
}

/// What a single budget removes, where it is told as a fraction.
std::string suffix_of(const Budget& budget) {
  if (budget.ratio) return removed_suffix(*budget.ratio);
  for (const auto& amount :
       {budget.params, budget.macs, budget.channels, budget.memory, budget.latency}) {
    if (amount && amount->fraction) return removed_suffix(amount->value);
  }
  throw UsageError(
      "files of a folder are named by the percent that is removed; expected a budget as a "
      "fraction, such as --params 0.5, or the name of a file");
}

}  // namespace

bool writes_to_folder(const po::variables_map& values) {
  return text_of(values, "output").ends_with('/');
}

std::string level_file(const po::variables_map& values, const Level& level) {
  const std::string out = text_of(values, "output");
  if (!writes_to_folder(values)) return with_suffix(out, level.suffix);
  fs::path folder = out;
  if (given(values, "data")) {
    folder /= stem_of(text_of(values, "data"));
    folder /= subset_name(text_of(values, "classes"));
  }
  const std::string suffix = level.suffix.empty() ? suffix_of(level.budget) : level.suffix;
  return (folder / (network_name(text_of(values, "MODEL")) + suffix + ".pt")).string();
}

void check_level_file(const po::variables_map& values, const std::string& path) {
  std::error_code ignored;
  fs::path folder = fs::absolute(path).parent_path();
  if (!writes_to_folder(values) || fs::is_directory(folder, ignored)) {
    check_output(values, path);
    return;
  }
  while (!fs::exists(folder, ignored)) folder = folder.parent_path();
  if (!fs::is_directory(folder, ignored) || ::access(folder.c_str(), W_OK) != 0) {
    throw Error("no folder can be made there", {.path = folder.string()},
                "a folder that can be written to");
  }
}

void make_folders_for(const std::string& path) {
  std::error_code failure;
  const fs::path folder = fs::absolute(path).parent_path();
  fs::create_directories(folder, failure);
  if (failure) {
    throw Error("the folder cannot be made: " + failure.message(), {.path = folder.string()},
                "a folder that can be written to");
  }
}

}  // namespace cpd::cli
