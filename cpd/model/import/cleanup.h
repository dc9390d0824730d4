#pragma once

#include <cpd/model/model.h>

#include <functional>

namespace cpd::import {

/// Drops ops that nothing reads, then values that nothing names; ids move up.
void drop_dead(Model& model);
/// Replaces expressions everywhere in the graph.
void map_expressions(Graph& graph, const std::function<Expr(const Expr&)>& replace);

}  // namespace cpd::import
