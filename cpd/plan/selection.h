#pragma once

#include <cpd/plan/plan.h>

namespace cpd {

/// The indices of the k highest scores, ascending; ties go to the lower index.
Indices top_channels(const std::vector<double>& scores, int64_t k);

}  // namespace cpd
