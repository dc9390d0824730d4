#pragma once

#include <cpd/graph/graph.h>

#include <vector>

namespace cpd {

/// Bytes of one element.
int64_t bytes_of(DType dtype);

/// When each value of a graph lives: from the op that makes it to the last that reads it.
class Lifetimes {
 public:
  explicit Lifetimes(const Graph& graph);
  /// The largest number of bytes that live at the same time, from the bytes of each value.
  int64_t peak(const std::vector<int64_t>& bytes) const;

 private:
  std::vector<ValueId> inputs_;
  std::vector<std::vector<ValueId>> made_;  ///< by op
  std::vector<std::vector<ValueId>> freed_;
};

}  // namespace cpd
