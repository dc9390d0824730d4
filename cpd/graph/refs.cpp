#include <cpd/graph/refs.h>

namespace cpd {

void for_each_ref(Op& op, const std::function<void(ValueId&)>& visit) {
  for (NamedArg& arg : op.args) {
    if (auto* ref = std::get_if<ValueRef>(&arg.value); ref && ref->id >= 0) visit(ref->id);
    if (auto* refs = std::get_if<std::vector<ValueRef>>(&arg.value)) {
      for (ValueRef& ref : *refs) {
        if (ref.id >= 0) visit(ref.id);
      }
    }
  }
}

void for_each_ref(Output& output, const std::function<void(ValueId&)>& visit) {
  if (output.kind == Output::Kind::kTensor) visit(output.value);
  for (Output& item : output.items) for_each_ref(item, visit);
}

std::vector<int> count_uses(const Graph& graph) {
  std::vector<int> uses(graph.values.size(), 0);
  const auto use = [&](ValueId value) { ++uses[static_cast<size_t>(value)]; };
  const auto sizes = [&](const Expr& expr) {
    expr.for_each_size([&](ValueId value, int) { use(value); });
  };
  for (const Op& op : graph.ops) {
    for (ValueId operand : op.operands()) use(operand);
    for (const auto& arg : op.args) {
      if (const auto* expr = std::get_if<Expr>(&arg.value)) sizes(*expr);
      if (const auto* list = std::get_if<std::vector<Expr>>(&arg.value)) {
        for (const Expr& expr : *list) sizes(expr);
      }
    }
  }
  for (ValueId output : graph.output_values()) use(output);
  return uses;
}

}  // namespace cpd
