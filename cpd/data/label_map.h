#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/data/dataset.h>
#include <cpd/data/preprocess.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cpd {

/// Decodes a PNG file whose pixels are class numbers, grey values or indices into a palette: uint8
/// (height, width). `name` is for messages. Throws cpd::Error: another format, colours, 16 bits,
/// damaged data.
at::Tensor decode_label_map(std::string_view bytes, const std::string& name);

/// Throws cpd::Error that names `source` unless all pixels are below `classes` or ignored.
void check_label_map(const at::Tensor& map, int64_t classes, const std::string& source);

/// Brings a label map (height, width) to a model's input as `fitted` does the image, but each pixel
/// keeps the class of the nearest one.
at::Tensor fitted_label_map(const at::Tensor& map, const ImageShape& shape);

/// Writes an augmented label map to `out` (height * width numbers), moved as `write_normalised`
/// moves the image for the same seed. What comes in from outside the image is ignored.
void write_label_map(const at::Tensor& map, const Augmentation& augmentation, uint64_t seed,
                     int64_t* out);

/// Images in memory with label maps: images as for `tensor_dataset`, maps (N, height, width) of
/// whole numbers. Throws cpd::Error if they do not fit each other or a pixel has no class name;
/// without names, classes are called 0, 1, ...
DatasetPointer label_map_dataset(at::Tensor images, at::Tensor maps, std::string source,
                                 std::vector<std::string> classes = {});

}  // namespace cpd
