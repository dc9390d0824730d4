#pragma once

#include <filesystem>
#include <string>
#include <vector>

// What the data sets in folders share.

namespace cpd {

/// True for the names of JPEG and PNG files, in any case.
bool is_image(const std::filesystem::path& path);
/// Entries of a folder that are no hidden ones, in alphabetical order. Throws cpd::Error.
std::vector<std::filesystem::path> entries(const std::filesystem::path& folder);
/// The folder itself, or that of a split if it has folders `train`, `test` or `val`; `test` takes
/// `val` where there is no `test`. Throws cpd::Error if the split is not there.
std::filesystem::path split_folder(const std::filesystem::path& folder, const std::string& split);

}  // namespace cpd
