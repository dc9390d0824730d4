#include <cpd/graph/refs.h>
#include <cpd/graph/shuffle.h>

#include <algorithm>

namespace cpd {
namespace {

bool is_one_of(const Op& op, std::initializer_list<const char*> kinds) {
  return std::any_of(kinds.begin(), kinds.end(), [&](const char* kind) { return op.kind == kind; });
}

bool is_view(const Op& op) {
  return is_one_of(op, {"aten::view", "aten::reshape", "aten::_unsafe_view", "aten::unflatten",
                        "aten::flatten"}) &&
         op.overload != "dtype";
}

/// The op that made a value, or null.
const Op* producer(const Graph& graph, ValueId value) {
  const OpId op = graph.value(value).producer;
  return op < 0 ? nullptr : &graph.op(op);
}

/// Does the op swap dimensions 1 and 2 and nothing else?
bool swaps_channels(const Op& op, int rank) {
  const auto positive = [&](int64_t dim) { return dim < 0 ? dim + rank : dim; };
  if (op.kind == "aten::transpose") {
    const int64_t a = positive(op.integer("dim0")), b = positive(op.integer("dim1"));
    return std::min(a, b) == 1 && std::max(a, b) == 2;
  }
  if (op.kind != "aten::permute") return false;
  const auto dims = op.integers("dims");
  for (int64_t d = 0; d < static_cast<int64_t>(dims.size()); ++d) {
    const int64_t expected = d == 1 ? 2 : d == 2 ? 1 : d;
    if (positive(dims[static_cast<size_t>(d)]) != expected) return false;
  }
  return true;
}

/// Is `opened` the shape with dimension 1 as (groups, columns)?
bool opens_channels(const Shape& shape, const Shape& opened) {
  if (shape.size() < 3 || opened.size() != shape.size() + 1) return false;
  return opened[0] == shape[0] && opened[1] > 1 && opened[2] > 1 &&
         opened[1] * opened[2] == shape[1] &&
         std::equal(shape.begin() + 2, shape.end(), opened.begin() + 3);
}

/// What an op reads as its only tensor, if nobody else reads it; -1 otherwise.
ValueId sole_operand(const Op& op, const std::vector<int>& uses) {
  const auto operands = op.operands();
  const bool sole = operands.size() == 1 && uses[static_cast<size_t>(operands[0])] == 1;
  return sole ? operands[0] : -1;
}

struct Shuffle {
  ValueId source = -1;
  int64_t groups = 0;
};

/// The shuffle that ends in a view, or groups = 0.
Shuffle shuffle_ending_in(const Graph& graph, const Op& last, const std::vector<int>& uses) {
  if (!is_view(last)) return {};
  ValueId value = sole_operand(last, uses);
  const Op* op = value < 0 ? nullptr : producer(graph, value);
  while (op != nullptr && is_one_of(*op, {"aten::contiguous", "aten::clone"})) {
    value = sole_operand(*op, uses);
    op = value < 0 ? nullptr : producer(graph, value);
  }
  if (op == nullptr || !swaps_channels(*op, static_cast<int>(graph.value(value).shape.size()))) {
    return {};
  }
  const ValueId opened = sole_operand(*op, uses);
  const Op* first = opened < 0 ? nullptr : producer(graph, opened);
  if (first == nullptr || !is_view(*first) || first->operands().size() != 1) return {};
  const ValueId source = first->operands()[0];
  const Shape& shape = graph.value(source).shape;
  if (graph.value(last.outputs[0]).shape != shape) return {};
  if (!opens_channels(shape, graph.value(opened).shape)) return {};
  return {source, graph.value(opened).shape[1]};
}

}  // namespace

void fuse_channel_shuffles(Graph& graph) {
  const std::vector<int> uses = count_uses(graph);
  for (Op& op : graph.ops) {
    const Shuffle shuffle = shuffle_ending_in(graph, op, uses);
    if (shuffle.groups == 0) continue;
    op.kind = "aten::channel_shuffle";
    op.overload = "";
    op.args = {{"self", ValueRef{shuffle.source}}, {"groups", Expr::constant(shuffle.groups)}};
  }
}

}  // namespace cpd
