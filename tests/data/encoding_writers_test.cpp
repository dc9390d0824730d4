#include <png.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "encoding.h"
// libjpeg's header needs <cstdio> before it.
#include <jpeglib.h>

// Writers of the formats that the tests read.

namespace cpd::testing {

Pixels plain_image(int height, int width, const std::vector<uint8_t>& colour) {
  Pixels pixels{height, width, static_cast<int>(colour.size())};
  for (int i = 0; i < height * width; ++i) {
    pixels.values.insert(pixels.values.end(), colour.begin(), colour.end());
  }
  return pixels;
}

std::string encode_jpeg(const Pixels& pixels, const JpegSettings& settings) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_height = static_cast<JDIMENSION>(pixels.height);
  info.image_width = static_cast<JDIMENSION>(pixels.width);
  info.input_components = pixels.channels;
  info.in_color_space =
      pixels.channels == 1 ? JCS_GRAYSCALE : (pixels.channels == 3 ? JCS_RGB : JCS_CMYK);
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, settings.quality, TRUE);
  jpeg_start_compress(&info, TRUE);
  if (!settings.exif.empty()) {
    jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(settings.exif.data()),
                      static_cast<unsigned>(settings.exif.size()));
  }
  const size_t stride = static_cast<size_t>(pixels.width * pixels.channels);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(pixels.values.data() + stride * info.next_scanline);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string bytes(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&info);
  std::free(buffer);
  return bytes;
}

namespace {

void append(png_structp png, png_bytep data, size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<char*>(data), size);
}

int colour_type(int channels, bool palette) {
  if (palette) return PNG_COLOR_TYPE_PALETTE;
  constexpr int kTypes[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                            PNG_COLOR_TYPE_RGB_ALPHA};
  return kTypes[channels - 1];
}

}  // namespace

std::string encode_png(const Pixels& pixels, const PngSettings& settings) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &bytes, &append, nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(pixels.width),
               static_cast<png_uint_32>(pixels.height), settings.bits,
               colour_type(pixels.channels, settings.palette), PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (settings.palette) {
    std::vector<png_color> colours;
    for (size_t i = 0; i + 2 < settings.colours.size(); i += 3) {
      colours.push_back({settings.colours[i], settings.colours[i + 1], settings.colours[i + 2]});
    }
    png_set_PLTE(png, info, colours.data(), static_cast<int>(colours.size()));
  }
  png_write_info(png, info);
  const size_t stride = (static_cast<size_t>(pixels.width) * static_cast<size_t>(pixels.channels) *
                             static_cast<size_t>(settings.bits) +
                         7) /
                        8;
  for (int y = 0; y < pixels.height; ++y) {
    png_write_row(png, pixels.values.data() + stride * static_cast<size_t>(y));
  }
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::string gzipped(const std::string& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string encode_idx(const std::vector<uint32_t>& shape, const std::vector<uint8_t>& values) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(shape.size())};
  for (const uint32_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift & 0xFF);
  }
  bytes.append(values.begin(), values.end());
  return bytes;
}

std::string exif_block(int orientation, bool little) {
  const std::string header("Exif\0\0", 6);
  const auto value = static_cast<char>(orientation);
  // One directory of one entry: tag 0x0112, type 3 (16 bits), one value.
  if (little) {
    return header + std::string("II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) + value +
           std::string("\0\0\0\0\0\0\0", 7);
  }
  return header + std::string("MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) + value +
         std::string("\0\0\0\0\0\0", 6);
}

}  // namespace cpd::testing
