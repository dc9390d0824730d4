#pragma once

#include <cpd/graph/graph.h>

#include <vector>

namespace cpd {

/// The first op at which two graphs of one network differ, told in a line; empty if none does.
std::string first_difference(const Graph& a, const Graph& b);

/// A trace of a C++ module holds sizes as numbers. Given graphs of the same network traced on
/// inputs of other sizes, turns every number that changed with a size of some earlier value into an
/// expression of it: the size itself or a multiple. Nothing happens if the graphs are not alike.
void follow_sizes(Graph& graph, const std::vector<Graph>& others);

}  // namespace cpd
