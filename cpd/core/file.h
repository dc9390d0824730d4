#pragma once

#include <string>
#include <string_view>

namespace cpd {

/// The bytes of a file; throws cpd::Error that names it.
std::string read_file(const std::string& path);

/// Writes a file whole or not at all: to a temporary one beside it, which then takes its name.
/// Throws cpd::Error that names the file (folder missing, not writable, disk full); what was there
/// before then stays.
void write_file(const std::string& path, std::string_view bytes);

}  // namespace cpd
