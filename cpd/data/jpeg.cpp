#include <ATen/ops/empty.h>
#include <cpd/core/error.h>
#include <cpd/data/image.h>
#include <cpd/data/image_formats.h>

#include <csetjmp>
#include <cstdio>
// libjpeg's headers need <cstdio> before them.
#include <jerror.h>
#include <jpeglib.h>

namespace cpd {
namespace {

/// libjpeg ends the process on an error unless it is sent elsewhere.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

void leave(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, manager->message);
  std::longjmp(manager->back, 1);
}

/// Missing data are only a warning to libjpeg, which fills them with grey; here they are an error.
void judge_warning(j_common_ptr info, int level) {
  const int code = info->err->msg_code;
  if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) leave(info);
}

/// A decoder over bytes in memory. Every method that calls libjpeg returns false on an error, since
/// a jump must not cross objects that have to be destroyed.
class Decoder {
 public:
  Decoder() {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = &leave;
    errors_.base.emit_message = &judge_warning;
    errors_.message[0] = '\0';
    jpeg_create_decompress(&info_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info_); }

  bool read_header(std::string_view bytes) {
    if (setjmp(errors_.back) != 0) return false;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info_, TRUE);
    if (info_.num_components == 4) {
      info_.out_color_space = JCS_CMYK;
    } else if (info_.num_components != 1) {
      info_.out_color_space = JCS_RGB;
    }
    return true;
  }

  bool read_rows(unsigned char* rows) {
    if (setjmp(errors_.back) != 0) return false;
    jpeg_start_decompress(&info_);
    const size_t stride = size_t{info_.output_width} * static_cast<size_t>(channels());
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = rows + stride * info_.output_scanline;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  int64_t height() const { return info_.image_height; }
  int64_t width() const { return info_.image_width; }
  int64_t channels() const { return info_.num_components == 2 ? 3 : info_.num_components; }
  bool inverted() const { return info_.saw_Adobe_marker != 0; }
  std::string message() const { return errors_.message; }

  int orientation() const {
    for (auto* marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (data.starts_with("Exif")) return exif_orientation(data);
    }
    return 1;
  }

 private:
  jpeg_decompress_struct info_{};
  ErrorManager errors_{};
};

/// (H, W, 4) to (H, W, 3). Adobe stores 255 for "no ink".
at::Tensor cmyk_to_rgb(const at::Tensor& cmyk, bool inverted) {
  at::Tensor rgb = at::empty({cmyk.size(0), cmyk.size(1), 3}, at::kByte);
  const auto* from = cmyk.const_data_ptr<uint8_t>();
  auto* to = rgb.mutable_data_ptr<uint8_t>();
  const int64_t pixels = cmyk.size(0) * cmyk.size(1);
  for (int64_t i = 0; i < pixels; ++i) {
    const int light = inverted ? from[4 * i + 3] : 255 - from[4 * i + 3];
    for (int64_t c = 0; c < 3; ++c) {
      const int ink = inverted ? from[4 * i + c] : 255 - from[4 * i + c];
      to[3 * i + c] = static_cast<uint8_t>((ink * light + 127) / 255);
    }
  }
  return rgb;
}

[[noreturn]] void throw_damaged(const std::string& name, const std::string& reason) {
  throw Error("the JPEG image is damaged: " + reason, {.path = name}, "a whole JPEG file");
}

}  // namespace

at::Tensor planes(const at::Tensor& interleaved) {
  return interleaved.permute({2, 0, 1}).contiguous();
}

at::Tensor decode_jpeg(std::string_view bytes, const std::string& name) {
  Decoder decoder;
  if (!decoder.read_header(bytes)) throw_damaged(name, decoder.message());
  if (decoder.height() * decoder.width() > kMostPixels) throw_damaged(name, "it is too large");
  // The markers are gone once the rows have been read.
  const int orientation = decoder.orientation();
  at::Tensor rows = at::empty({decoder.height(), decoder.width(), decoder.channels()}, at::kByte);
  if (!decoder.read_rows(rows.mutable_data_ptr<uint8_t>())) throw_damaged(name, decoder.message());
  if (rows.size(2) == 4) rows = cmyk_to_rgb(rows, decoder.inverted());
  return oriented(planes(rows), orientation);
}

}  // namespace cpd
