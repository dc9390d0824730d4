#pragma once

#include <cpd/cli/command.h>
#include <cpd/cli/method_options.h>

#include <string>

namespace cpd::cli {

/// The file that a level is written to. `-o net.pt` makes `net_30.pt` of a level that removes 30
/// percent, and `net.pt` where there is one level only; a folder, `-o DIR/`, makes
/// `DIR/{data}/{classes}/{network}_30.pt`, without the parts for data where none is given. Throws
/// UsageError for a level of a folder that is no fraction.
std::string level_file(const po::variables_map& values, const Level& level);

/// Does `-o` name a folder, in a name that ends in a slash?
bool writes_to_folder(const po::variables_map& values);

/// As `check_output`; folders that a level's file needs may be missing.
void check_level_file(const po::variables_map& values, const std::string& path);
/// Makes the folders of a level's file. Throws cpd::Error.
void make_folders_for(const std::string& path);

}  // namespace cpd::cli
