#pragma once

#include <cpd/core/json.h>

#include <string>

namespace cpd::coverage {

/// Rows as a table in Markdown, with a summary of the targets above it and what stays below.
std::string markdown(const Json& rows);

/// One row for the terminal.
std::string line(const Json& row);

}  // namespace cpd::coverage
