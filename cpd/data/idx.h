#pragma once

#include <cpd/data/dataset.h>

#include <string>
#include <string_view>

namespace cpd {

/// Reads the IDX format of MNIST, plain or compressed with gzip: a uint8 tensor of the shape that
/// the file says. `name` is for messages. Throws cpd::Error: wrong magic number, another element
/// type, sizes that do not fit the length, damaged gzip.
at::Tensor parse_idx(std::string_view bytes, const std::string& name);

/// True if a folder holds `train-images-idx3-ubyte`, with or without `.gz`.
bool is_idx_folder(const std::string& folder);
/// Reads images and labels of a folder with MNIST's four files: `train` or `test`. Throws
/// cpd::Error.
DatasetPointer load_idx_folder(const std::string& folder, const std::string& split,
                               std::vector<std::string> classes = {});

/// Fashion-MNIST as Debian's package dataset-fashion-mnist installs it: 60,000 and 10,000 images
/// of 28x28 pixels. Throws cpd::Error that says how to install it.
DatasetPointer load_fashion_mnist(const std::string& split);

}  // namespace cpd
