#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

// The two decoders behind `decode_image`.

namespace cpd {

at::Tensor decode_jpeg(std::string_view bytes, const std::string& name);
at::Tensor decode_png(std::string_view bytes, const std::string& name);

/// More pixels than this are refused before any memory is taken.
constexpr int64_t kMostPixels = 200'000'000;

/// Interleaved rows (height, width, channels) to planes.
at::Tensor planes(const at::Tensor& interleaved);

}  // namespace cpd
