#pragma once

#include <cpd/graph/graph.h>

#include <functional>

namespace cpd {

using ShapeOf = std::function<Shape(ValueId)>;

/// Number of elements of a shape.
int64_t element_count(const Shape& shape);

/// Multiply-accumulates of one op for the whole batch, from its shapes: those of convolutions,
/// linear layers, matrix products, einsum, attention and recurrent layers. 0 for ops without
/// products; bias, norms and pooling count nothing.
int64_t op_macs(const Graph& graph, const Op& op);
/// The same for a graph whose shapes are what `shape` says.
int64_t op_macs(const Op& op, const ShapeOf& shape);

}  // namespace cpd
