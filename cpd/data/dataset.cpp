#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/data/dataset.h>

#include <algorithm>
#include <charconv>

namespace cpd {
namespace {

std::string shape_text(const at::Tensor& tensor) {
  std::string text;
  for (const int64_t size : tensor.sizes())
    text += (text.empty() ? "" : "x") + std::to_string(size);
  return text.empty() ? "no dimension" : text;
}

class TensorDataset : public Dataset {
 public:
  TensorDataset(at::Tensor images, at::Tensor labels, std::string source,
                std::vector<std::string> classes)
      : images_(std::move(images)), source_(std::move(source)), classes_(std::move(classes)) {
    verify_shapes(labels);
    const at::Tensor numbers = labels.to(at::kLong).contiguous();
    labels_.assign(numbers.const_data_ptr<int64_t>(),
                   numbers.const_data_ptr<int64_t>() + numbers.numel());
    verify_labels();
  }

  int64_t size() const override { return images_.size(0); }
  Sample at(int64_t index) const override { return {images_.select(0, index), label(index)}; }
  int64_t label(int64_t index) const override { return labels_[static_cast<size_t>(index)]; }
  const std::vector<std::string>& classes() const override { return classes_; }
  const std::string& source() const override { return source_; }

 private:
  void verify_shapes(const at::Tensor& labels) const {
    if (images_.dim() != 4 || images_.numel() == 0) {
      throw Error("images have shape " + shape_text(images_), {.path = source_},
                  "(images, channels, height, width), none of them 0");
    }
    if (images_.scalar_type() != at::kByte && !images_.is_floating_point()) {
      throw Error("images are of type " + std::string(images_.dtype().name()), {.path = source_},
                  "uint8 or floating point");
    }
    if (labels.dim() != 1 || labels.size(0) != images_.size(0)) {
      throw Error("labels have shape " + shape_text(labels), {.path = source_},
                  "one for each of the " + std::to_string(images_.size(0)) + " images");
    }
    if (!at::isIntegralType(labels.scalar_type(), /*includeBool=*/false)) {
      throw Error("labels are of type " + std::string(labels.dtype().name()), {.path = source_},
                  "whole numbers");
    }
  }

  void verify_labels() {
    const auto [low, high] = std::minmax_element(labels_.begin(), labels_.end());
    constexpr int64_t kMostClasses = 1'000'000;
    const int64_t limit = classes_.empty() ? kMostClasses : static_cast<int64_t>(classes_.size());
    if (*low < 0 || *high >= limit) {
      throw Error("there is a label " + std::to_string(*low < 0 ? *low : *high), {.path = source_},
                  "0 to " + std::to_string(limit - 1));
    }
    for (int64_t i = static_cast<int64_t>(classes_.size()); i <= *high; ++i) {
      classes_.push_back(std::to_string(i));
    }
  }

  at::Tensor images_;
  std::vector<int64_t> labels_;
  std::string source_;
  std::vector<std::string> classes_;
};

/// Some images of another data set, possibly with other labels.
class Subset : public Dataset {
 public:
  Subset(DatasetPointer dataset, std::vector<int64_t> indices)
      : dataset_(std::move(dataset)), indices_(std::move(indices)), classes_(dataset_->classes()) {}
  Subset(DatasetPointer dataset, std::vector<int64_t> indices, std::vector<int64_t> relabelled,
         std::vector<std::string> classes)
      : dataset_(std::move(dataset)),
        indices_(std::move(indices)),
        relabelled_(std::move(relabelled)),
        classes_(std::move(classes)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  Sample at(int64_t index) const override {
    Sample sample = dataset_->at(indices_[static_cast<size_t>(index)]);
    sample.label = label(index);
    return sample;
  }
  int64_t label(int64_t index) const override {
    const int64_t old = dataset_->label(indices_[static_cast<size_t>(index)]);
    return relabelled_.empty() ? old : relabelled_[static_cast<size_t>(old)];
  }
  bool has_label_maps() const override { return dataset_->has_label_maps(); }
  const std::vector<std::string>& classes() const override { return classes_; }
  const std::string& source() const override { return dataset_->source(); }

 private:
  DatasetPointer dataset_;
  std::vector<int64_t> indices_;
  std::vector<int64_t> relabelled_;
  std::vector<std::string> classes_;
};

void check_count(const Dataset& dataset, int64_t count, int64_t least) {
  if (count >= least && count <= dataset.size()) return;
  throw Error(std::to_string(count) + " images were asked for", {.path = dataset.source()},
              std::to_string(least) + " to " + std::to_string(dataset.size()));
}

}  // namespace

DatasetPointer tensor_dataset(at::Tensor images, at::Tensor labels, std::string source,
                              std::vector<std::string> classes) {
  return std::make_shared<TensorDataset>(std::move(images), std::move(labels), std::move(source),
                                         std::move(classes));
}

DatasetPointer subset(DatasetPointer dataset, std::vector<int64_t> indices) {
  for (const int64_t index : indices) {
    if (index >= 0 && index < dataset->size()) continue;
    throw Error("there is no image " + std::to_string(index), {.path = dataset->source()},
                "0 to " + std::to_string(dataset->size() - 1));
  }
  return std::make_shared<Subset>(std::move(dataset), std::move(indices));
}

DatasetPointer drawn(DatasetPointer dataset, int64_t count, uint64_t seed) {
  check_count(*dataset, count, 0);
  if (count == 0 || count == dataset->size()) return dataset;
  return split_off(std::move(dataset), count, seed).second;
}

std::pair<DatasetPointer, DatasetPointer> split_off(DatasetPointer dataset, int64_t count,
                                                    uint64_t seed) {
  check_count(*dataset, count, 0);
  std::vector<int64_t> off = permutation(dataset->size(), seed);
  const auto middle = off.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<int64_t> rest(middle, off.end());
  off.erase(middle, off.end());
  std::sort(rest.begin(), rest.end());
  std::sort(off.begin(), off.end());
  return {subset(dataset, std::move(rest)), subset(dataset, std::move(off))};
}

std::vector<int64_t> find_classes(const Dataset& dataset, const std::vector<std::string>& wanted) {
  const std::vector<std::string>& names = dataset.classes();
  std::vector<int64_t> found;
  for (const std::string& text : wanted) {
    const auto name = std::find(names.begin(), names.end(), text);
    int64_t number = name - names.begin();
    if (name == names.end()) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      const bool valid = error == std::errc() && end == text.data() + text.size() && number >= 0 &&
                         number < static_cast<int64_t>(names.size());
      if (!valid) {
        throw Error("there is no class '" + text + "'", {.path = dataset.source()},
                    "a name such as '" + names.front() + "' or a number from 0 to " +
                        std::to_string(names.size() - 1));
      }
    }
    found.push_back(number);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

DatasetPointer subset_of_classes(DatasetPointer dataset, const std::vector<int64_t>& classes,
                                 bool relabel) {
  if (dataset->has_label_maps()) {
    throw Error("images with label maps cannot be chosen by class", {.path = dataset->source()},
                "images of one class each");
  }
  std::vector<int64_t> relabelled(dataset->classes().size(), -1);
  std::vector<std::string> names;
  for (const int64_t number : classes) {
    if (number < 0 || number >= static_cast<int64_t>(relabelled.size())) {
      throw Error("there is no class " + std::to_string(number), {.path = dataset->source()},
                  "0 to " + std::to_string(relabelled.size() - 1));
    }
    relabelled[static_cast<size_t>(number)] = static_cast<int64_t>(names.size());
    names.push_back(dataset->classes()[static_cast<size_t>(number)]);
  }
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    if (relabelled[static_cast<size_t>(dataset->label(i))] >= 0) indices.push_back(i);
  }
  if (indices.empty()) {
    throw Error("there are no images of the classes asked for", {.path = dataset->source()},
                "at least one");
  }
  if (!relabel) return std::make_shared<Subset>(std::move(dataset), std::move(indices));
  return std::make_shared<Subset>(std::move(dataset), std::move(indices), std::move(relabelled),
                                  std::move(names));
}

}  // namespace cpd
