#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace cpd {

/// Throws cpd::Error that names the first label outside 0 to `classes` - 1. In label maps (N, H,
/// W), `kIgnoredPixel` is none. `whose`: says in the error where the labels are from.
void check_labels(const at::Tensor& labels, int64_t classes, const std::string& whose = "");

/// Logits (N, C, H, W) in the size of label maps (N, H, W), bilinearly where the sizes differ; all
/// others as they are.
at::Tensor in_size_of_labels(const at::Tensor& logits, const at::Tensor& labels);

}  // namespace cpd
