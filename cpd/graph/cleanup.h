#pragma once

#include <cpd/graph/graph.h>

#include <functional>

namespace cpd {

/// Removes ops whose outputs nobody reads (as a tensor or for its sizes) and values that are left
/// without use; inputs stay. Numbers values anew: inputs, parameters, results in order of ops.
/// Returns the new id of every old value, -1 for those removed.
std::vector<ValueId> remove_dead_ops(Graph& graph);

/// Replaces every size in the graph's arguments and outputs by what `leaf` returns for it;
/// expressions of constants fold.
void map_sizes(Graph& graph, const std::function<Expr(const Expr&)>& leaf);

/// Writes every product with a transposed parameter as `aten::linear`: `addmm(b, x, t(W))`,
/// `mm(x, t(W))`, `matmul(x, t(W))`, with a bias added afterwards taken in. Returns how many ops
/// were rewritten; their results may differ in the last bits.
int write_as_linear(Graph& graph);

}  // namespace cpd
