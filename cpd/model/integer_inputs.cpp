#include <cpd/model/integer_inputs.h>

#include <algorithm>
#include <optional>
#include <set>

namespace cpd {
namespace {

/// Ops that move or copy numbers and change none.
bool passes_numbers(const std::string& kind) {
  static const std::set<std::string> kinds = {
      "aten::reshape", "aten::view",      "aten::flatten", "aten::unsqueeze", "aten::squeeze",
      "aten::permute", "aten::transpose", "aten::to",      "aten::expand",    "aten::slice",
      "aten::select",  "aten::unbind",    "aten::split",   "aten::chunk",     "aten::flip",
      "aten::roll",    "aten::cat",       "aten::repeat",  "aten::clone",     "aten::contiguous"};
  return kinds.count(kind) > 0;
}

/// Rows of the smallest table that the numbers of a value look up.
std::optional<int64_t> rows_reached(const Graph& graph, ValueId input) {
  std::vector<bool> carries(graph.values.size(), false);
  carries[static_cast<size_t>(input)] = true;
  std::optional<int64_t> rows;
  for (const Op& op : graph.ops) {
    const auto operands = op.operands();
    const bool reads = std::any_of(operands.begin(), operands.end(), [&](ValueId value) {
      return carries[static_cast<size_t>(value)];
    });
    if (!reads) continue;
    if (passes_numbers(op.kind)) {
      for (ValueId output : op.outputs) carries[static_cast<size_t>(output)] = true;
    } else if (op.kind == "aten::embedding" && carries[static_cast<size_t>(op.tensor("indices"))]) {
      const int64_t count = graph.value(op.tensor("weight")).shape[0];
      rows = std::min(count, rows.value_or(count));
    }
  }
  return rows;
}

bool is_integer(DType dtype) { return dtype == DType::kInt64 || dtype == DType::kInt32; }

}  // namespace

bool find_ranges(const Graph& graph, std::vector<InputSpec>& inputs) {
  bool changed = false;
  for (size_t i = 0; i < inputs.size() && i < graph.inputs.size(); i++) {
    if (!is_integer(inputs[i].dtype) || inputs[i].high >= 0) continue;
    const auto rows = rows_reached(graph, graph.inputs[i]);
    if (!rows || *rows <= 2) continue;  // 0 and 1 have been drawn already
    inputs[i].high = *rows - 1;
    changed = true;
  }
  return changed;
}

}  // namespace cpd
