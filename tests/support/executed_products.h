#pragma once

#include <cstdint>

namespace cpd::testing {

/// Counts the multiply-accumulates of the ops that LibTorch runs in this thread while it lives,
/// from the tensors that they are given: knows nothing of graphs. Only the outermost product of a
/// call chain counts.
class ExecutedProducts {
 public:
  ExecutedProducts();
  ~ExecutedProducts();
  ExecutedProducts(const ExecutedProducts&) = delete;
  ExecutedProducts& operator=(const ExecutedProducts&) = delete;

  int64_t macs() const;

 private:
  uint64_t handle_ = 0;
};

}  // namespace cpd::testing
