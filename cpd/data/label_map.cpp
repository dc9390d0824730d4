#include <ATen/TensorOperators.h>
#include <ATen/ops/_upsample_nearest_exact2d.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/data/label_map.h>

#include <algorithm>

namespace cpd {
namespace {

/// The largest class number in a map; -1 if all of it is ignored.
int64_t largest_class(const at::Tensor& maps) {
  return at::where(maps == kIgnoredPixel, -1, maps.to(at::kLong)).max().item<int64_t>();
}

class LabelMapDataset : public Dataset {
 public:
  LabelMapDataset(DatasetPointer images, at::Tensor maps, std::vector<std::string> classes)
      : images_(std::move(images)), maps_(std::move(maps)), classes_(std::move(classes)) {}

  int64_t size() const override { return images_->size(); }
  Sample at(int64_t index) const override {
    return {images_->at(index).image, 0, maps_.select(0, index)};
  }
  int64_t label(int64_t /*index*/) const override { return 0; }
  bool has_label_maps() const override { return true; }
  const std::vector<std::string>& classes() const override { return classes_; }
  const std::string& source() const override { return images_->source(); }

 private:
  DatasetPointer images_;
  at::Tensor maps_;
  std::vector<std::string> classes_;
};

void check_sizes(const at::Tensor& images, const at::Tensor& maps, const std::string& source) {
  const bool whole = at::isIntegralType(maps.scalar_type(), /*includeBool=*/false);
  const bool fits = whole && maps.dim() == 3 && images.dim() == 4 &&
                    maps.size(0) == images.size(0) && maps.size(1) == images.size(2) &&
                    maps.size(2) == images.size(3);
  if (fits) return;
  throw Error("label maps do not fit the images", {.path = source},
              "whole numbers (images, height, width)");
}

}  // namespace

void check_label_map(const at::Tensor& map, int64_t classes, const std::string& source) {
  const at::Tensor numbers = map.to(at::kLong);
  const at::Tensor wrong = ((numbers < 0) | (numbers >= classes)) & (numbers != kIgnoredPixel);
  if (!wrong.any().item<bool>()) return;
  const auto number = numbers.masked_select(wrong)[0].item<int64_t>();
  throw Error("there is a pixel of class " + std::to_string(number), {.path = source},
              "0 to " + std::to_string(classes - 1) + ", or " + std::to_string(kIgnoredPixel) +
                  " for none");
}

at::Tensor fitted_label_map(const at::Tensor& map, const ImageShape& shape) {
  const int64_t height = map.size(0);
  const int64_t width = map.size(1);
  if (height == shape.height && width == shape.width) return map.contiguous();
  const auto [new_height, new_width] = fitted_size(height, width, shape);
  return at::_upsample_nearest_exact2d(map.contiguous().view({1, 1, height, width}),
                                       {new_height, new_width})
      .view({new_height, new_width})
      .narrow(0, centred(new_height, shape.height), shape.height)
      .narrow(1, centred(new_width, shape.width), shape.width)
      .contiguous();
}

void write_label_map(const at::Tensor& map, const Augmentation& augmentation, uint64_t seed,
                     int64_t* out) {
  const Shift shift = drawn_shift(augmentation, seed);
  const at::Tensor whole = map.contiguous();
  const auto* pixels = whole.const_data_ptr<uint8_t>();
  const int64_t height = map.size(0);
  const int64_t width = map.size(1);
  for (int64_t y = 0; y < height; ++y) {
    const int64_t row = y + shift.rows;
    for (int64_t x = 0; x < width; ++x) {
      const int64_t column = (shift.mirrored ? width - 1 - x : x) + shift.columns;
      const bool inside = row >= 0 && row < height && column >= 0 && column < width;
      *out++ = inside ? pixels[row * width + column] : kIgnoredPixel;
    }
  }
}

DatasetPointer label_map_dataset(at::Tensor images, at::Tensor maps, std::string source,
                                 std::vector<std::string> classes) {
  check_sizes(images, maps, source);
  const int64_t largest = largest_class(maps);
  const auto known = static_cast<int64_t>(classes.size());
  check_label_map(maps, known > 0 ? known : kIgnoredPixel, source);
  for (int64_t i = known; i <= largest; ++i) classes.push_back(std::to_string(i));
  const at::Tensor none = at::zeros({images.size(0)}, at::kLong);
  return std::make_shared<LabelMapDataset>(
      tensor_dataset(std::move(images), none, std::move(source), {"image"}), maps.to(at::kByte),
      std::move(classes));
}

}  // namespace cpd
