#pragma once

#include <cpd/comb/combing.h>

#include <string>

namespace cpd {

/// A text that units of the same structure share, whatever their sizes: kind, role, and of each
/// member the rank of the parameter, the dimension and the role. `plain channels: 4 x along 0/1,
/// ...`. Allocations that rank within families take it as the family.
std::string structure_of(const Model& model, const ChannelGroup& group);

}  // namespace cpd
