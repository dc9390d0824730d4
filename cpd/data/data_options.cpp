#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/data_options.h>
#include <cpd/data/idx.h>
#include <cpd/data/image_folder.h>
#include <cpd/data/scenes.h>
#include <cpd/data/segmentation_folder.h>
#include <cpd/data/tensor_file.h>

#include <charconv>
#include <filesystem>
#include <functional>
#include <sstream>

namespace cpd {
namespace {

constexpr const char* kFashionMnist = "fashion-mnist";
constexpr const char* kFashionScenes = "fashion-scenes";

template <typename Number>
Number number_of(const std::string& name, const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
  throw Error("'" + text + "' is no number", {.path = "--" + name}, "a number");
}

std::vector<std::string> split_text(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!part.empty() && part.back() == '\r') part.pop_back();
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::vector<double> numbers_of(const std::string& name, const std::string& text) {
  std::vector<double> numbers;
  for (const std::string& part : split_text(text, ',')) {
    numbers.push_back(number_of<double>(name, part));
  }
  if (numbers.empty())
    throw Error("no number is given", {.path = "--" + name}, "such as 0.5,0.5,0.5");
  return numbers;
}

std::vector<std::string> classes_of(const std::string& text) {
  if (std::filesystem::is_regular_file(text)) return split_text(read_file(text), '\n');
  return split_text(text, ',');
}

struct Option {
  DataOptionHelp help;
  std::function<void(DataOptions&, const std::string&)> set;
};

const std::vector<Option>& options_table() {
  static const std::vector<Option> table = {
      {{"data", "DIR|fashion-mnist|fashion-scenes|FILE.pt",
        "images: DIR/CLASS/*.jpg, MNIST's files or tensors; with label maps: DIR/images, "
        "DIR/labels"},
       [](DataOptions& o, const std::string& v) { o.data = v; }},
      {{"split", "train|test", "which part of the data"},
       [](DataOptions& o, const std::string& v) { o.split = v; }},
      {{"mean", "A,B,C", "subtracted from each channel of pixels in 0-1"},
       [](DataOptions& o, const std::string& v) { o.mean = numbers_of("mean", v); }},
      {{"std", "A,B,C", "by which each channel is divided"},
       [](DataOptions& o, const std::string& v) { o.std = numbers_of("std", v); }},
      {{"images", "N", "use N images drawn at random"},
       [](DataOptions& o, const std::string& v) { o.images = number_of<int64_t>("images", v); }},
      {{"batch", "N", "images in a batch"},
       [](DataOptions& o, const std::string& v) { o.batch = number_of<int64_t>("batch", v); }},
      {{"augment", "SPEC", "change training images at random: crop4,flip"},
       [](DataOptions& o, const std::string& v) { o.augment = v; }},
      {{"classes", "A,B|FILE", "use only these classes, by name or number"},
       [](DataOptions& o, const std::string& v) { o.classes = classes_of(v); }},
  };
  return table;
}

DatasetPointer open_source(const std::string& data, const std::string& split) {
  if (data.empty()) {
    throw Error("no images are given", {.path = "--data"},
                "a folder, fashion-mnist, fashion-scenes or a .pt file");
  }
  if (data == kFashionMnist) return load_fashion_mnist(split);
  if (data == kFashionScenes) return load_fashion_scenes(split);
  if (!std::filesystem::exists(data)) {
    throw Error("there is no such file or folder", {.path = data},
                "a folder of images, fashion-mnist, fashion-scenes or a .pt file");
  }
  if (std::filesystem::is_regular_file(data)) return load_tensor_file(data);
  if (is_idx_folder(data)) return load_idx_folder(data, split);
  return is_segmentation_folder(data) ? load_segmentation_folder(data, split)
                                      : load_image_folder(data, split);
}

LoaderOptions loader_options(const DataOptions& options, const ImageShape& shape) {
  LoaderOptions loader;
  loader.shape = shape;
  loader.batch = options.batch;
  loader.normalisation = normalisation_of(options);
  loader.seed = options.seed;
  return loader;
}

}  // namespace

void DataOptions::verify() const {
  if (!split.empty() && split != "train" && split != "test") {
    throw Error("the value is '" + split + "'", {.path = "split"}, "train or test");
  }
  check_range("images", static_cast<double>(images), 0);
  check_range("batch", static_cast<double>(batch), 1);
  parse_augmentation(augment);
}

void to_json(Json& json, const DataOptions& o) {
  json = Json{{"data", o.data},       {"split", o.split},     {"mean", o.mean},
              {"std", o.std},         {"images", o.images},   {"batch", o.batch},
              {"augment", o.augment}, {"classes", o.classes}, {"relabel", o.relabel},
              {"seed", o.seed}};
}

void read_json(const Json& json, const std::string& path, DataOptions& o) {
  JsonObject(json, path)
      .read("data", o.data)
      .read("split", o.split)
      .read("mean", o.mean)
      .read("std", o.std)
      .read("images", o.images)
      .read("batch", o.batch)
      .read("augment", o.augment)
      .read("classes", o.classes)
      .read("relabel", o.relabel)
      .read("seed", o.seed)
      .finish();
}

const std::vector<DataOptionHelp>& data_option_help() {
  static const std::vector<DataOptionHelp> help = [] {
    std::vector<DataOptionHelp> all;
    for (const Option& option : options_table()) all.push_back(option.help);
    return all;
  }();
  return help;
}

void set_data_option(DataOptions& options, const std::string& name, const std::string& value) {
  for (const Option& option : options_table()) {
    if (option.help.name != name) continue;
    option.set(options, value);
    return;
  }
  throw Error("there is no such option of data", {.path = "--" + name});
}

DatasetPointer open_dataset(const DataOptions& options, const std::string& split) {
  options.verify();
  DatasetPointer dataset = open_source(options.data, options.split.empty() ? split : options.split);
  if (!options.classes.empty()) {
    const std::vector<int64_t> classes = find_classes(*dataset, options.classes);
    dataset = subset_of_classes(std::move(dataset), classes, options.relabel);
  }
  return drawn(std::move(dataset), options.images, options.seed);
}

Normalisation normalisation_of(const DataOptions& options) {
  Normalisation normalisation{options.mean, options.std};
  if (options.data == kFashionMnist) {
    if (normalisation.mean.empty()) normalisation.mean = {0.2860};
    if (normalisation.std.empty()) normalisation.std = {0.3530};
  }
  if (options.data == kFashionScenes) {
    if (normalisation.mean.empty()) normalisation.mean = {0.40};
    if (normalisation.std.empty()) normalisation.std = {0.18};
  }
  return normalisation;
}

Loader evaluation_loader(DatasetPointer dataset, const DataOptions& options,
                         const ImageShape& shape) {
  return {std::move(dataset), loader_options(options, shape)};
}

Loader training_loader(DatasetPointer dataset, const DataOptions& options,
                       const ImageShape& shape) {
  LoaderOptions loader = loader_options(options, shape);
  loader.shuffle = true;
  loader.augmentation = parse_augmentation(options.augment);
  loader.drop_last = dataset->size() > options.batch && dataset->size() % options.batch == 1;
  return {std::move(dataset), std::move(loader)};
}

}  // namespace cpd
