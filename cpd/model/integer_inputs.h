#pragma once

#include <cpd/model/model.h>

namespace cpd {

/// Gives the integer inputs that have no range of their own one that stays inside the smallest table
/// that their numbers look up; true if that changed a range.
bool find_ranges(const Graph& graph, std::vector<InputSpec>& inputs);

}  // namespace cpd
