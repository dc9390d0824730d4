#pragma once

#include <cpd/graph/graph.h>

namespace cpd::rules {

/// Does the kernel of a convolution have the size of its input along a spatial dimension, without
/// padding? Then it slides nowhere and sums over that dimension, of which positions may go.
bool covers_input(const Graph& graph, const Op& convolution, size_t spatial);

}  // namespace cpd::rules
