#pragma once

#include <cpd/data/dataset.h>

#include <string>

namespace cpd {

/// True if a folder, or the folder of one of its splits, holds the folders `images` and `labels`.
bool is_segmentation_folder(const std::string& folder);

/// Images with label maps from two folders, in alphabetical order: DIR/images/NAME.jpg (.jpeg,
/// .png) and DIR/labels/NAME.png, whose pixels are class numbers and 255 for none (as grey values
/// or as indices into a palette). With folders `train`, `test` or `val` in DIR, or in both `images`
/// and `labels`, those of `split`; `test` takes `val` where there is no `test`. Class names, one in
/// a line, come from DIR/classes.txt; without it all label maps are read once to find the largest
/// number. Images are read when asked for. Throws cpd::Error: a folder is missing, there is no
/// image, an image has no label map; and on reading, sizes that differ or a number without a class.
DatasetPointer load_segmentation_folder(const std::string& folder, const std::string& split);

}  // namespace cpd
