#include <ATen/ops/empty.h>
#include <cpd/core/error.h>
#include <cpd/data/image_formats.h>
#include <cpd/data/label_map.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <vector>

namespace cpd {
namespace {

/// What libpng's callbacks see.
struct Source {
  std::string_view rest;
  char message[200] = "";
};

void read_bytes(png_structp png, png_bytep to, size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (source->rest.size() < count) png_error(png, "the file ends too early");
  std::memcpy(to, source->rest.data(), count);
  source->rest.remove_prefix(count);
}

void leave(png_structp png, png_const_charp message) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  std::strncpy(source->message, message, sizeof source->message - 1);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp /*png*/, png_const_charp /*message*/) {}

/// A decoder over bytes in memory. Methods that call libpng return false on an error, since a jump
/// must not cross objects that have to be destroyed.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : source_{bytes} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, &leave, &ignore_warning);
    info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
    if (info_ == nullptr) throw Error("libpng cannot be started");
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

  /// `numbers`: pixels are class numbers, and so are indices into a palette; not to be scaled.
  bool read_header(bool numbers) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, &source_, &read_bytes);
    png_set_user_limits(png_, 100'000, 100'000);
    png_read_info(png_, info_);
    if (numbers) {
      png_set_packing(png_);
    } else {
      to_colours();
    }
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_rows(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  int bits() const { return png_get_bit_depth(png_, info_); }
  int64_t height() const { return png_get_image_height(png_, info_); }
  int64_t width() const { return png_get_image_width(png_, info_); }
  int64_t channels() const { return png_get_channels(png_, info_); }
  size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
  std::string message() const { return source_.message; }

 private:
  void to_colours() {
    png_set_scale_16(png_);
    const int colour = png_get_color_type(png_, info_);
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if (colour == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png_);
  }

  Source source_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

[[noreturn]] void throw_damaged(const std::string& name, const std::string& reason) {
  throw Error("the PNG image is damaged: " + reason, {.path = name}, "a whole PNG file");
}

/// Everything after the header, as planes.
at::Tensor read_pixels(Decoder& decoder, const std::string& name) {
  if (decoder.height() * decoder.width() > kMostPixels) throw_damaged(name, "it is too large");
  const int64_t channels = decoder.channels();
  if (decoder.row_bytes() != static_cast<size_t>(decoder.width() * channels)) {
    throw_damaged(name, "its rows have an unexpected size");
  }
  at::Tensor image = at::empty({decoder.height(), decoder.width(), channels}, at::kByte);
  std::vector<png_bytep> rows(static_cast<size_t>(decoder.height()));
  auto* start = image.mutable_data_ptr<uint8_t>();
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = start + i * decoder.row_bytes();
  if (!decoder.read_rows(rows.data())) throw_damaged(name, decoder.message());
  return planes(image);
}

}  // namespace

at::Tensor decode_png(std::string_view bytes, const std::string& name) {
  Decoder decoder(bytes);
  if (!decoder.read_header(/*numbers=*/false)) throw_damaged(name, decoder.message());
  return read_pixels(decoder, name);
}

at::Tensor decode_label_map(std::string_view bytes, const std::string& name) {
  constexpr const char* kExpected = "a PNG image, grey or with a palette, of up to 8 bits";
  if (!bytes.starts_with("\x89PNG"))
    throw Error("the label map is no PNG", {.path = name}, kExpected);
  Decoder decoder(bytes);
  if (!decoder.read_header(/*numbers=*/true)) throw_damaged(name, decoder.message());
  if (decoder.channels() != 1 || decoder.bits() > 8) {
    throw Error("the label map has " + std::to_string(decoder.channels()) + " channels of " +
                    std::to_string(decoder.bits()) + " bits",
                {.path = name}, kExpected);
  }
  return read_pixels(decoder, name).squeeze(0);
}

}  // namespace cpd
