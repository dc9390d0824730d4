#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

namespace cpd {

/// Decodes a JPEG or PNG file: uint8 (channels, height, width) with 1 channel for grey images and 3
/// (red, green, blue) for all others. Alpha is ignored, a palette resolved, 16 bits are rounded to
/// 8, CMYK becomes (1 - C)(1 - K) and so on, and a JPEG is turned as its EXIF orientation says.
/// `name` is for messages. Throws cpd::Error: another format, damaged or cut off data.
at::Tensor decode_image(std::string_view bytes, const std::string& name);

/// Turns an image as an EXIF orientation (1 to 8) says; other numbers leave it alone.
at::Tensor oriented(const at::Tensor& image, int orientation);
/// The orientation that an EXIF block states; 1 if it states none or is damaged.
int exif_orientation(std::string_view exif);

}  // namespace cpd
