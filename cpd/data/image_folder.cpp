#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/folders_internal.h>
#include <cpd/data/image.h>
#include <cpd/data/image_folder.h>

namespace cpd {
namespace {

namespace fs = std::filesystem;

class ImageFolder : public Dataset {
 public:
  explicit ImageFolder(const fs::path& folder) : source_(folder.string()) {
    for (const fs::path& entry : entries(folder)) {
      if (fs::is_directory(entry)) add_class(entry);
    }
    if (classes_.empty()) {
      throw Error("there is no class in the folder", {.path = source_},
                  "a folder of JPEG or PNG images for each class");
    }
  }

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  Sample at(int64_t index) const override {
    const std::string& file = files_[static_cast<size_t>(index)];
    return {decode_image(read_file(file), file), label(index)};
  }
  int64_t label(int64_t index) const override { return labels_[static_cast<size_t>(index)]; }
  const std::vector<std::string>& classes() const override { return classes_; }
  const std::string& source() const override { return source_; }

 private:
  void add_class(const fs::path& folder) {
    const size_t before = files_.size();
    for (const fs::path& entry : entries(folder)) {
      if (!is_image(entry)) continue;
      files_.push_back(entry.string());
      labels_.push_back(static_cast<int64_t>(classes_.size()));
    }
    if (files_.size() == before) {
      throw Error("there is no image in the folder of this class", {.path = folder.string()},
                  "files .jpg, .jpeg or .png");
    }
    classes_.push_back(folder.filename().string());
  }

  std::string source_;
  std::vector<std::string> files_;
  std::vector<int64_t> labels_;
  std::vector<std::string> classes_;
};

}  // namespace

DatasetPointer load_image_folder(const std::string& folder, const std::string& split) {
  if (!fs::is_directory(folder)) {
    throw Error("is no folder", {.path = folder}, "a folder of JPEG or PNG images for each class");
  }
  return std::make_shared<ImageFolder>(split_folder(folder, split));
}

}  // namespace cpd
