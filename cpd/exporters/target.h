#pragma once

#include <cpd/model/model.h>

#include <string>

namespace cpd::exporters {

/// Throws cpd::Error if a file must not be written: it is a folder, the model's own source, or
/// there already and `force` is not set.
void check_target(const Model& model, const std::string& path, bool force);

}  // namespace cpd::exporters
