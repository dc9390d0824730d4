#pragma once

#include <cpd/data/dataset.h>

namespace cpd {

/// Images in a folder for each class, DIR/CLASS/NAME.jpg (.jpeg, .png, any case), classes and
/// images in alphabetical order. With folders `train`, `test` or `val` in DIR, those of `split`;
/// `test` takes `val` where there is no `test`. Images are read when asked for. Throws cpd::Error:
/// no folder, no class, no image in a class.
DatasetPointer load_image_folder(const std::string& folder, const std::string& split);

}  // namespace cpd
