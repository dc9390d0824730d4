#include <cpd/core/error.h>
#include <cpd/data/folders_internal.h>

#include <algorithm>
#include <cctype>

namespace cpd {

namespace fs = std::filesystem;

bool is_image(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (!entry.path().filename().string().starts_with(".")) found.push_back(entry.path());
  }
  if (error)
    throw Error("cannot be read: " + error.message(), {.path = folder.string()}, "a folder");
  std::sort(found.begin(), found.end());
  return found;
}

fs::path split_folder(const fs::path& folder, const std::string& split) {
  const bool has_train = fs::is_directory(folder / "train");
  const bool has_test = fs::is_directory(folder / "test");
  const bool has_val = fs::is_directory(folder / "val");
  if (!has_train && !has_test && !has_val) return folder;
  if (split == "test" && !has_test && has_val) return folder / "val";
  if (!fs::is_directory(folder / split)) {
    throw Error("there is no folder '" + split + "'", {.path = folder.string()},
                "train, and test or val");
  }
  return folder / split;
}

}  // namespace cpd
