#include <ATen/TensorOperators.h>
#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/mul.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/data/preprocess.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace cpd {
namespace {

at::Tensor luma(const at::Tensor& image) {
  const at::Tensor wide = image.to(at::kFloat);
  const at::Tensor grey =
      (wide.select(0, 0) * 0.299 + wide.select(0, 1) * 0.587 + wide.select(0, 2) * 0.114)
          .unsqueeze(0);
  return image.scalar_type() == at::kByte ? grey.round().to(at::kByte)
                                          : grey.to(image.scalar_type());
}

/// 256/224 of a side of the model's input, as the usual evaluation at 224 has it.
int64_t enlarged(int64_t side) {
  return static_cast<int64_t>(std::lround(static_cast<double>(side) * 256.0 / 224.0));
}

at::Tensor resized(const at::Tensor& image, int64_t height, int64_t width) {
  const at::Tensor batch = image.unsqueeze(0);
  return at::_upsample_bilinear2d_aa(batch, {height, width}, false).squeeze(0);
}

/// One row: `from` holds the row of the image or is null for padding.
template <typename Pixel>
void write_row(const Pixel* from, int64_t width, const Shift& shift, float scale, float offset,
               float* out) {
  for (int64_t x = 0; x < width; ++x) {
    const int64_t column = (shift.mirrored ? width - 1 - x : x) + shift.columns;
    const bool inside = from != nullptr && column >= 0 && column < width;
    out[x] = offset + (inside ? static_cast<float>(from[column]) * scale : 0.0F);
  }
}

template <typename Pixel>
void write_planes(const at::Tensor& image, const Normalisation& normalisation, const Shift& shift,
                  float unit, float* out) {
  const auto* pixels = image.const_data_ptr<Pixel>();
  const int64_t height = image.size(1);
  const int64_t width = image.size(2);
  for (int64_t c = 0; c < image.size(0); ++c) {
    const auto at = [c](const std::vector<double>& numbers, double otherwise) {
      if (numbers.empty()) return otherwise;
      return numbers[numbers.size() == 1 ? 0 : static_cast<size_t>(c)];
    };
    const double deviation = at(normalisation.std, 1.0);
    const auto scale = static_cast<float>(unit / deviation);
    const auto offset = static_cast<float>(-at(normalisation.mean, 0.0) / deviation);
    for (int64_t y = 0; y < height; ++y) {
      const int64_t row = y + shift.rows;
      const bool inside = row >= 0 && row < height;
      write_row(inside ? pixels + (c * height + row) * width : nullptr, width, shift, scale, offset,
                out + (c * height + y) * width);
    }
  }
}

void check_numbers(const std::string& what, const std::vector<double>& numbers, int64_t channels) {
  const auto count = static_cast<int64_t>(numbers.size());
  if (count <= 1 || count == channels) return;
  throw Error("there are " + std::to_string(count) + " numbers", {.path = what},
              "one, or one for each of the " + std::to_string(channels) + " channels");
}

}  // namespace

at::Tensor to_channels(const at::Tensor& image, int64_t channels) {
  const int64_t have = image.size(0);
  if (have == channels) return image;
  if (have == 1 && channels == 3) return image.expand({3, image.size(1), image.size(2)});
  if (have == 3 && channels == 1) return luma(image);
  throw Error("an image has " + std::to_string(have) + " channels", {},
              std::to_string(channels) + " as the model takes, or 1 and 3");
}

int64_t centred(int64_t length, int64_t size) {
  return std::lround(static_cast<double>(length - size) / 2.0);
}

std::pair<int64_t, int64_t> fitted_size(int64_t height, int64_t width, const ImageShape& shape) {
  const int64_t low = enlarged(shape.height);
  const int64_t broad = enlarged(shape.width);
  // The side that is shorter in comparison decides; the other one follows, rounded down.
  if (height * broad <= width * low) return {low, std::max(shape.width, low * width / height)};
  return {std::max(shape.height, broad * height / width), broad};
}

at::Tensor fitted(const at::Tensor& image, const ImageShape& shape) {
  const at::Tensor coloured = to_channels(image, shape.channels);
  const int64_t height = coloured.size(1);
  const int64_t width = coloured.size(2);
  if (height == shape.height && width == shape.width) return coloured.contiguous();
  const auto [new_height, new_width] = fitted_size(height, width, shape);
  return resized(coloured.contiguous(), new_height, new_width)
      .narrow(1, centred(new_height, shape.height), shape.height)
      .narrow(2, centred(new_width, shape.width), shape.width)
      .contiguous();
}

void Normalisation::verify(int64_t channels) const {
  check_numbers("mean", mean, channels);
  check_numbers("std", std, channels);
  for (const double deviation : std) {
    if (!(deviation > 0))
      throw Error("a value is not above 0", {.path = "std"}, "positive numbers");
  }
}

Augmentation parse_augmentation(const std::string& text) {
  Augmentation augmentation;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    if (part == "flip") {
      augmentation.flip = true;
      continue;
    }
    const std::string_view number = part.starts_with("crop") ? part.substr(4) : std::string_view();
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), augmentation.crop);
    const bool valid = !number.empty() && error == std::errc() &&
                       end == number.data() + number.size() && augmentation.crop > 0;
    if (!valid) {
      throw Error("'" + std::string(part) + "' is no augmentation", {.path = text},
                  "crop and a number of pixels, or flip, such as crop4,flip");
    }
  }
  return augmentation;
}

std::string to_text(const Augmentation& augmentation) {
  std::string text = augmentation.crop > 0 ? "crop" + std::to_string(augmentation.crop) : "";
  if (augmentation.flip) text += text.empty() ? "flip" : ",flip";
  return text;
}

Shift drawn_shift(const Augmentation& augmentation, uint64_t seed) {
  Shift shift;
  Random random(seed);
  if (augmentation.crop > 0) {
    const int64_t positions = 2 * augmentation.crop + 1;
    shift.rows = random.below(positions) - augmentation.crop;
    shift.columns = random.below(positions) - augmentation.crop;
  }
  if (augmentation.flip) shift.mirrored = random.below(2) == 1;
  return shift;
}

void write_normalised(const at::Tensor& image, const Normalisation& normalisation,
                      const Augmentation& augmentation, uint64_t seed, float* out) {
  const Shift shift = drawn_shift(augmentation, seed);
  const at::Tensor whole = image.contiguous();
  if (whole.scalar_type() == at::kByte) {
    write_planes<uint8_t>(whole, normalisation, shift, 1.0F / 255.0F, out);
  } else {
    write_planes<float>(whole.to(at::kFloat), normalisation, shift, 1.0F, out);
  }
}

}  // namespace cpd
