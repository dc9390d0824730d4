#pragma once

#include <ATen/core/ivalue.h>
#include <cpd/graph/graph.h>
#include <cpd/model/execution.h>

#include <functional>

namespace cpd {

/// An argument of an op as the boxed value that an operator's schema asks for. `sizes` evaluates
/// expressions, `tensor` looks up values; both are needed only by arguments that mention them.
c10::IValue ivalue_of(const Arg& arg, const c10::Type& type, const Sizes& sizes,
                      const std::function<const at::Tensor&(ValueId)>& tensor);
/// A plain number as the boxed value of a schema's type: integer, real, boolean or scalar.
c10::IValue ivalue_of(const Number& number, const c10::Type& type);

/// Writes what an operator left on the stack to the outputs of its op: one value for each tensor,
/// lists of tensors taken apart.
void store_outputs(const std::vector<c10::IValue>& stack, const Op& op, Tensors& values);

/// A message up to its first line break.
std::string first_line(const std::string& message);

}  // namespace cpd
