#include <ATen/ops/flip.h>
#include <cpd/core/error.h>
#include <cpd/data/image.h>
#include <cpd/data/image_formats.h>

namespace cpd {
namespace {

/// Reads numbers of a TIFF header in its byte order.
class TiffReader {
 public:
  explicit TiffReader(std::string_view bytes) : bytes_(bytes), little_(bytes.starts_with("II")) {}

  bool valid() const {
    return (little_ || bytes_.starts_with("MM")) && bytes_.size() >= 8 && number(2, 2) == 42;
  }
  /// `size` bytes at `offset`; 0 beyond the end.
  uint32_t number(size_t offset, size_t size) const {
    if (offset > bytes_.size() || bytes_.size() - offset < size) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      const size_t at = little_ ? offset + size - 1 - i : offset + i;
      value = value << 8 | static_cast<uint8_t>(bytes_[at]);
    }
    return value;
  }

 private:
  std::string_view bytes_;
  bool little_;
};

}  // namespace

int exif_orientation(std::string_view exif) {
  constexpr std::string_view kHeader("Exif\0\0", 6);
  constexpr uint32_t kOrientation = 0x0112;
  if (!exif.starts_with(kHeader)) return 1;
  const TiffReader reader(exif.substr(kHeader.size()));
  if (!reader.valid()) return 1;
  const size_t directory = reader.number(4, 4);
  const uint32_t entries = reader.number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (reader.number(entry, 2) != kOrientation) continue;
    const uint32_t value = reader.number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

at::Tensor oriented(const at::Tensor& image, int orientation) {
  switch (orientation) {
    case 2:
      return at::flip(image, {2});
    case 3:
      return at::flip(image, {1, 2});
    case 4:
      return at::flip(image, {1});
    case 5:
      return image.transpose(1, 2).contiguous();
    case 6:
      return at::flip(image.transpose(1, 2), {2});
    case 7:
      return at::flip(image.transpose(1, 2), {1, 2});
    case 8:
      return at::flip(image.transpose(1, 2), {1});
    default:
      return image;
  }
}

at::Tensor decode_image(std::string_view bytes, const std::string& name) {
  if (bytes.starts_with("\xff\xd8")) return decode_jpeg(bytes, name);
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes, name);
  throw Error("neither a JPEG nor a PNG image", {.path = name}, "one of the two");
}

}  // namespace cpd
