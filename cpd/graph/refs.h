#pragma once

#include <cpd/graph/graph.h>

#include <functional>

namespace cpd {

/// Visits the tensors that an op reads, absent ones left out; `visit` may name others instead.
void for_each_ref(Op& op, const std::function<void(ValueId&)>& visit);
/// The same of the tensors that a network returns.
void for_each_ref(Output& output, const std::function<void(ValueId&)>& visit);
/// For each value, how many times ops, sizes in their arguments and the network's output read it.
std::vector<int> count_uses(const Graph& graph);

}  // namespace cpd
