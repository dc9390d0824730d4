#include <cpd/core/error.h>
#include <cpd/exporters/target.h>

#include <filesystem>

namespace cpd::exporters {

void check_target(const Model& model, const std::string& path, bool force) {
  std::error_code ignored;
  if (path.empty()) throw Error("no file to write to was given");
  if (std::filesystem::is_directory(path, ignored)) {
    throw Error("is a folder", {.path = path}, "the name of a file to write");
  }
  if (std::filesystem::equivalent(path, model.source, ignored)) {
    throw Error("is the network's own file", {.path = path}, "another file to write to");
  }
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored)) {
    throw Error("is no regular file", {.path = path}, "the name of a file to write");
  }
  if (!force && std::filesystem::exists(path, ignored)) {
    throw Error("exists already", {.path = path}, "a new file, or force");
  }
}

}  // namespace cpd::exporters
