#pragma once

#include <c10/core/ScalarType.h>
#include <cpd/graph/graph.h>

namespace cpd {

/// LibTorch's name of a dtype, and back; throws cpd::Error for a dtype that a graph cannot hold.
at::ScalarType scalar_type_of(DType dtype);
DType dtype_of(at::ScalarType type);

}  // namespace cpd
