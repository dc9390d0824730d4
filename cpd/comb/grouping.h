#pragma once

#include <cpd/comb/combing.h>
#include <cpd/comb/engine.h>

namespace cpd {

/// From labels to groups: partners of rectangles, blocks by colour refinement, ties, settling; ends
/// with the tables of a Combing. May unify and lock more labels of the engine.
Combing group_channels(Engine& engine, uint64_t seed);

}  // namespace cpd
