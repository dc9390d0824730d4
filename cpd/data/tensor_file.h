#pragma once

#include <cpd/data/dataset.h>

namespace cpd {

/// Images and labels from a `.pt` file: what Python's `torch.save` wrote of a tuple (images,
/// labels) or of a dictionary with `images`, `labels` and perhaps `classes` (names); or a
/// TorchScript module with these attributes. Images are (N, C, H, W), or (N, H, W) for one channel;
/// labels (N), or (N, H, W) of segmentation data. Throws cpd::Error.
DatasetPointer load_tensor_file(const std::string& path);

}  // namespace cpd
