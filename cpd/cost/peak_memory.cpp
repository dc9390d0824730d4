#include <cpd/cost/peak_memory.h>

#include <algorithm>

namespace cpd {

int64_t bytes_of(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
    case DType::kInt8:
    case DType::kBool:
      return 1;
    case DType::kInt16:
    case DType::kFloat16:
    case DType::kBFloat16:
      return 2;
    case DType::kInt32:
    case DType::kFloat32:
      return 4;
    case DType::kComplex128:
      return 16;
    default:
      return 8;
  }
}

Lifetimes::Lifetimes(const Graph& graph)
    : inputs_(graph.inputs), made_(graph.ops.size()), freed_(graph.ops.size()) {
  constexpr OpId kNever = -1;
  std::vector<OpId> last(graph.values.size(), kNever);
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    for (ValueId id : graph.ops[i].operands()) last[static_cast<size_t>(id)] = static_cast<OpId>(i);
  }
  for (ValueId output : graph.output_values()) last[static_cast<size_t>(output)] = kNever;
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const bool weight = graph.values[i].kind == ValueKind::kParameter;
    if (last[i] != kNever && !weight) {
      freed_[static_cast<size_t>(last[i])].push_back(static_cast<ValueId>(i));
    }
  }
  for (size_t i = 0; i < graph.ops.size(); ++i) made_[i] = graph.ops[i].outputs;
}

int64_t Lifetimes::peak(const std::vector<int64_t>& bytes) const {
  int64_t live = 0;
  for (ValueId input : inputs_) live += bytes[static_cast<size_t>(input)];
  int64_t peak = live;
  for (size_t op = 0; op < made_.size(); ++op) {
    for (ValueId value : made_[op]) live += bytes[static_cast<size_t>(value)];
    peak = std::max(peak, live);
    for (ValueId value : freed_[op]) live -= bytes[static_cast<size_t>(value)];
  }
  return peak;
}

}  // namespace cpd
