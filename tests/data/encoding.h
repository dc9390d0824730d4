#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cpd::testing {

/// Interleaved pixels of a test image.
struct Pixels {
  int height = 0;
  int width = 0;
  int channels = 3;
  std::vector<uint8_t> values{};
};

/// An image whose pixels are all one colour.
Pixels plain_image(int height, int width, const std::vector<uint8_t>& colour);

struct JpegSettings {
  int quality = 100;
  std::string exif{};  ///< an APP1 block, with its `Exif` header
};
/// 1 channel: grey, 3: RGB, 4: CMYK with Adobe's marker.
std::string encode_jpeg(const Pixels& pixels, const JpegSettings& settings = {});

struct PngSettings {
  int bits = 8;
  bool palette = false;  ///< values are indices into `colours`
  std::vector<uint8_t> colours{};
};
/// 1 channel: grey, 2: grey and alpha, 3: RGB, 4: RGB and alpha. With 16 bits, values are pairs of
/// bytes, the higher first; with fewer than 8, packed rows.
std::string encode_png(const Pixels& pixels, const PngSettings& settings = {});

std::string gzipped(const std::string& bytes);
/// IDX with elements of one byte.
std::string encode_idx(const std::vector<uint32_t>& shape, const std::vector<uint8_t>& values);
/// An APP1 block that states an orientation, in either byte order.
std::string exif_block(int orientation, bool little);

}  // namespace cpd::testing
