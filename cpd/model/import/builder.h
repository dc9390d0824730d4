#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/graph/graph.h>
#include <cpd/model/import/symbol.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cpd::import {

/// One view of a storage: the op that makes it from the view before, and which of its outputs.
struct ViewStep {
  Op op;         ///< its first tensor argument is the source
  size_t index;  ///< of the output
};

/// Memory that views share; grows a version with every write.
struct Storage {
  ValueId base = -1;
  int version = 0;
};

/// A tensor of the program: a storage and the views that lead from its base to the tensor.
struct TensorHandle {
  std::shared_ptr<Storage> storage;
  std::vector<ViewStep> chain;
  ValueId current = -1;
  int version = 0;
};

using Handle = std::shared_ptr<TensorHandle>;

/// Builds the graph: appends ops in functional form. Writes into views become scatters into the
/// base, and views that live on are made anew when they are read next.
class Builder {
 public:
  Graph graph;

  ValueId add_value(const at::Tensor& tensor, ValueKind kind, const std::string& name);
  /// A tensor with memory of its own.
  Handle own(ValueId value);
  /// The present value of a tensor.
  ValueId read(const Handle& handle);

  /// Appends an op with outputs shaped like `results`, in its canonical form; returns their values.
  std::vector<ValueId> emit(Op op, const std::vector<at::Tensor>& results);
  /// Output `index` of an op that makes views of `source`.
  Handle view(const Handle& source, const Op& op, size_t index, ValueId value);
  /// An in-place op gave `value`; stores it in the memory of `target`.
  void write(const Handle& target, ValueId value);

 private:
  ValueId replay(const ViewStep& step, ValueId source);
  ValueId put_back(const ViewStep& step, ValueId parent, ValueId part);
  ValueId append(Op op, std::vector<Value> outputs, size_t index = 0);
};

/// Rewrites an op into the canonical set (docs/graph.md): one convolution, one linear, one batch
/// norm, explicit attention scale, shapes as sizes. `results` are the op's concrete outputs.
Op canonical(const Graph& graph, Op op, const std::vector<at::Tensor>& results);
/// The functional op that an in-place op stands for: `aten::add_` -> `aten::add`.
std::string functional_kind(const std::string& kind);

}  // namespace cpd::import
