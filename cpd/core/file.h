#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cpd {

/// The bytes of a file; throws cpd::Error that names it.
std::string read_file(const std::string& path);

/// Writes a file whole or not at all: to a temporary one beside it, which then takes its name.
/// Throws cpd::Error that names the file (folder missing, not writable, disk full); what was there
/// before then stays.
void write_file(const std::string& path, std::string_view bytes);
/// The same, but `check` is called with the temporary file's path before it takes its name; if it
/// throws, nothing is left of the new file.
void write_file(const std::string& path, std::string_view bytes,
                const std::function<void(const std::string& temporary)>& check);

}  // namespace cpd
