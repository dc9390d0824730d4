#pragma once

#include <cpd/graph/graph.h>

namespace cpd {

/// Replaces view, transpose, view chains whose net effect permutes the channels (dimension 1 as
/// groups and columns, swapped) by one `aten::channel_shuffle` each: bit for bit the same result,
/// and recognisable as a permutation of single channels. The first ops of a chain stay behind as
/// dead ops; chains of which an inner value is used elsewhere are left alone.
void fuse_channel_shuffles(Graph& graph);

}  // namespace cpd
