#pragma once

#include <cpd/model/execution.h>
#include <cpd/model/model.h>

#include <memory>

namespace cpd {

/// Values of a model that depend on buffers and constants only, computed when asked for.
class ConstantValues {
 public:
  explicit ConstantValues(const Model& model) : model_(model) {}

  /// The data of a value; `value` must depend on buffers and constants only. Undefined for others
  /// that are neither.
  at::Tensor operator()(ValueId value);

 private:
  void load_table();
  const Model& model_;
  std::unique_ptr<Execution> execution_;
  Tensors values_;
};

}  // namespace cpd
