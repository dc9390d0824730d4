#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/graph/graph.h>

#include <memory>
#include <vector>

namespace cpd {

/// One tensor for each value of a graph; undefined where none is live.
using Tensors = std::vector<at::Tensor>;

/// A graph made ready to run: every op resolved once to LibTorch's operator, last uses known.
/// Runs through the dispatcher, so autograd works as in eager mode. Holds a copy of the graph.
class Execution {
 public:
  /// Throws cpd::Error for an op that LibTorch does not know.
  explicit Execution(const Graph& graph);
  ~Execution();
  Execution(Execution&&) noexcept;
  Execution& operator=(Execution&&) noexcept;

  const Graph& graph() const;
  /// Runs one op: reads its operands from `values` and writes its outputs there.
  void run_op(OpId op, Tensors& values, bool training = false) const;
  /// Runs all ops. On entry `values` holds inputs and parameters; results are freed after their
  /// last use, except the graph's outputs. Returns the outputs in `output_values` order.
  std::vector<at::Tensor> run(Tensors& values, bool training = false) const;
  /// Values whose last use is this op (never inputs, parameters or graph outputs).
  const std::vector<ValueId>& last_uses(OpId op) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cpd
