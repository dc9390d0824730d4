#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/folders_internal.h>
#include <cpd/data/image.h>
#include <cpd/data/label_map.h>
#include <cpd/data/segmentation_folder.h>

#include <algorithm>
#include <sstream>

namespace cpd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLayout = "images/NAME.jpg or .png and labels/NAME.png";

bool has_both(const fs::path& folder) {
  return fs::is_directory(folder / "images") && fs::is_directory(folder / "labels");
}

std::string size_text(int64_t height, int64_t width) {
  return std::to_string(height) + "x" + std::to_string(width);
}

std::vector<std::string> read_class_names(const fs::path& file) {
  std::vector<std::string> names;
  std::istringstream stream(read_file(file.string()));
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (names.empty() || names.size() > kIgnoredPixel) {
    throw Error("there are " + std::to_string(names.size()) + " class names",
                {.path = file.string()}, "1 to 255, one in a line");
  }
  return names;
}

class SegmentationFolder : public Dataset {
 public:
  SegmentationFolder(const fs::path& images, const fs::path& labels, const fs::path& names)
      : source_(images.parent_path().string()) {
    for (const fs::path& image : entries(images)) {
      if (is_image(image)) add(image, labels / image.stem().concat(".png"));
    }
    if (files_.empty()) {
      throw Error("there is no image in the folder", {.path = images.string()}, kLayout);
    }
    if (fs::exists(names)) {
      classes_ = read_class_names(names);
    } else {
      count_classes();
    }
  }

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  Sample at(int64_t index) const override {
    const Files& files = files_[static_cast<size_t>(index)];
    Sample sample{decode_image(read_file(files.image), files.image), 0, read_map(files)};
    const int64_t height = sample.image.size(1);
    const int64_t width = sample.image.size(2);
    if (sample.label_map.size(0) != height || sample.label_map.size(1) != width) {
      throw Error(
          "the label map is " + size_text(sample.label_map.size(0), sample.label_map.size(1)),
          {.path = files.map}, size_text(height, width) + " as the image is");
    }
    check_label_map(sample.label_map, static_cast<int64_t>(classes_.size()), files.map);
    return sample;
  }
  int64_t label(int64_t /*index*/) const override { return 0; }
  bool has_label_maps() const override { return true; }
  const std::vector<std::string>& classes() const override { return classes_; }
  const std::string& source() const override { return source_; }

 private:
  struct Files {
    std::string image;
    std::string map;
  };

  static at::Tensor read_map(const Files& files) {
    return decode_label_map(read_file(files.map), files.map);
  }

  void add(const fs::path& image, const fs::path& map) {
    if (!fs::exists(map)) {
      throw Error("the image has no label map", {.path = image.string()}, map.string());
    }
    files_.push_back({image.string(), map.string()});
  }

  void count_classes() {
    int64_t largest = 0;
    for (const Files& files : files_) {
      const at::Tensor map = read_map(files);
      const at::Tensor numbers = map.masked_select(map.ne(kIgnoredPixel));
      if (numbers.numel() > 0) largest = std::max(largest, numbers.max().item<int64_t>());
    }
    for (int64_t i = 0; i <= largest; ++i) classes_.push_back(std::to_string(i));
  }

  std::string source_;
  std::vector<Files> files_;
  std::vector<std::string> classes_;
};

}  // namespace

bool is_segmentation_folder(const std::string& folder) {
  if (has_both(folder)) return true;
  for (const char* split : {"train", "test", "val"}) {
    if (has_both(fs::path(folder) / split)) return true;
  }
  return false;
}

DatasetPointer load_segmentation_folder(const std::string& folder, const std::string& split) {
  if (!is_segmentation_folder(folder)) {
    throw Error("holds no images with label maps", {.path = folder}, kLayout);
  }
  const fs::path names = fs::path(folder) / "classes.txt";
  if (has_both(folder)) {
    return std::make_shared<SegmentationFolder>(split_folder(fs::path(folder) / "images", split),
                                                split_folder(fs::path(folder) / "labels", split),
                                                names);
  }
  const fs::path part = split_folder(folder, split);
  return std::make_shared<SegmentationFolder>(part / "images", part / "labels", names);
}

}  // namespace cpd
