#pragma once

namespace cpd {

/// The version of cpd, such as `0.1.0`.
const char* version();

}  // namespace cpd
