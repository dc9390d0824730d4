#include <cpd/model/import/cleanup.h>

namespace cpd::import {
namespace {

void map_output(Output& output, const std::function<Expr(const Expr&)>& replace) {
  output.number = replace(output.number);
  for (auto& item : output.items) map_output(item, replace);
}

void visit_output(const Output& output, const std::function<void(ValueId, int)>& visit) {
  output.number.for_each_size(visit);
  for (const auto& item : output.items) visit_output(item, visit);
}

void renumber_output(Output& output, const std::vector<ValueId>& to) {
  if (output.value >= 0) output.value = to[static_cast<size_t>(output.value)];
  for (auto& item : output.items) renumber_output(item, to);
}

/// Marks what is read by live ops, from the end; returns which ops are live.
std::vector<bool> find_live(const Graph& graph, std::vector<bool>& live) {
  const auto mark = [&](ValueId value, int) { live[static_cast<size_t>(value)] = true; };
  for (ValueId value : graph.output_values()) mark(value, 0);
  for (ValueId value : graph.inputs) mark(value, 0);
  visit_output(graph.output, mark);
  std::vector<bool> needed(graph.ops.size(), false);
  for (size_t i = graph.ops.size(); i-- > 0;) {
    const Op& op = graph.ops[i];
    for (ValueId output : op.outputs) needed[i] = needed[i] || live[static_cast<size_t>(output)];
    if (!needed[i]) continue;
    for (ValueId output : op.outputs) mark(output, 0);
    for (ValueId operand : op.operands()) mark(operand, 0);
    for (const auto& arg : op.args) {
      if (const auto* expr = std::get_if<Expr>(&arg.value)) expr->for_each_size(mark);
      if (const auto* list = std::get_if<std::vector<Expr>>(&arg.value)) {
        for (const auto& expr : *list) expr.for_each_size(mark);
      }
    }
  }
  return needed;
}

void renumber(Op& op, const std::vector<ValueId>& to) {
  const auto moved = [&](ValueId id) { return id < 0 ? id : to[static_cast<size_t>(id)]; };
  for (auto& arg : op.args) {
    if (auto* ref = std::get_if<ValueRef>(&arg.value)) ref->id = moved(ref->id);
    if (auto* refs = std::get_if<std::vector<ValueRef>>(&arg.value)) {
      for (auto& ref : *refs) ref.id = moved(ref.id);
    }
  }
  for (auto& output : op.outputs) output = moved(output);
}

}  // namespace

void map_expressions(Graph& graph, const std::function<Expr(const Expr&)>& replace) {
  for (auto& op : graph.ops) {
    for (auto& arg : op.args) {
      if (auto* expr = std::get_if<Expr>(&arg.value)) *expr = replace(*expr);
      if (auto* list = std::get_if<std::vector<Expr>>(&arg.value)) {
        for (auto& expr : *list) expr = replace(expr);
      }
    }
  }
  map_output(graph.output, replace);
}

void drop_dead(Model& model) {
  const Graph old = model.graph;
  std::vector<bool> live(old.values.size(), false);
  const auto needed = find_live(old, live);
  std::vector<ValueId> to(old.values.size(), -1);
  Graph graph;
  for (size_t v = 0; v < old.values.size(); ++v) {
    if (live[v]) to[v] = graph.add_value(old.values[v]);
  }
  for (ValueId input : old.inputs) graph.inputs.push_back(to[static_cast<size_t>(input)]);
  for (size_t i = 0; i < old.ops.size(); ++i) {
    if (!needed[i]) continue;
    Op op = old.ops[i];
    renumber(op, to);
    graph.add_op(std::move(op));
  }
  graph.output = old.output;
  renumber_output(graph.output, to);
  map_expressions(graph, [&](const Expr& expr) {
    return expr.map_leaves([&](const Expr& leaf) {
      if (leaf.kind() != Expr::Kind::kSize) return leaf;
      return Expr::size(to[static_cast<size_t>(leaf.size_value())], leaf.size_dim(),
                        leaf.dense_int());
    });
  });
  model.graph = std::move(graph);
  for (auto& parameter : model.parameters) {
    if (parameter.value >= 0) parameter.value = to[static_cast<size_t>(parameter.value)];
  }
}

}  // namespace cpd::import
