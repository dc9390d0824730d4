#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/graph/expr.h>

#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace cpd {

/// Tensors made of parameters and buffers (masked weights, sliced weights). Where no gradient is
/// recorded they are kept until their source changes; otherwise they are made anew at each use, so
/// that gradients flow back to the source.
class DerivedTensors {
 public:
  /// What is done to the source: along which of its dimensions.
  using Key = std::pair<ValueId, std::vector<int>>;

  at::Tensor get(const Key& key, const at::Tensor& source,
                 const std::function<at::Tensor(const at::Tensor&)>& derive);
  void clear() { kept_.clear(); }

 private:
  struct Kept {
    at::Tensor source;
    int64_t version = 0;
    at::Tensor derived;
  };
  std::map<Key, Kept> kept_;
};

}  // namespace cpd
