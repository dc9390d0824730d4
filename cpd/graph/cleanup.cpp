#include <cpd/graph/cleanup.h>
#include <cpd/graph/refs.h>

#include <algorithm>

namespace cpd {
namespace {

void for_each_expr(Output& output, const std::function<void(Expr&)>& visit) {
  if (output.kind == Output::Kind::kNumber) visit(output.number);
  for (Output& item : output.items) for_each_expr(item, visit);
}

void for_each_expr(Op& op, const std::function<void(Expr&)>& visit) {
  for (NamedArg& arg : op.args) {
    if (auto* expr = std::get_if<Expr>(&arg.value)) visit(*expr);
    if (auto* exprs = std::get_if<std::vector<Expr>>(&arg.value)) {
      for (Expr& expr : *exprs) visit(expr);
    }
  }
}

void for_each_expr(Graph& graph, const std::function<void(Expr&)>& visit) {
  for (Op& op : graph.ops) for_each_expr(op, visit);
  for_each_expr(graph.output, visit);
}

/// Which values are read by something that the outputs need.
std::vector<bool> needed_values(Graph& graph) {
  std::vector<bool> needed(graph.values.size(), false);
  const auto need = [&needed](ValueId id) { needed.at(static_cast<size_t>(id)) = true; };
  const auto need_sizes = [&need](Expr& expr) {
    expr.for_each_size([&need](ValueId id, int) { need(id); });
  };
  for_each_ref(graph.output, need);
  for_each_expr(graph.output, need_sizes);
  for (size_t i = graph.ops.size(); i-- > 0;) {
    Op& op = graph.ops[i];
    bool used = false;
    for (ValueId output : op.outputs) used |= needed[static_cast<size_t>(output)];
    if (!used) continue;
    for (ValueId output : op.outputs) need(output);
    for_each_ref(op, need);
    for_each_expr(op, need_sizes);
  }
  return needed;
}

/// New ids: inputs, parameters, results.
std::vector<ValueId> new_ids(const Graph& graph, const std::vector<bool>& needed) {
  std::vector<ValueId> ids(graph.values.size(), -1);
  ValueId next = 0;
  for (ValueId input : graph.inputs) ids[static_cast<size_t>(input)] = next++;
  for (size_t i = 0; i < ids.size(); i++) {
    if (graph.values[i].kind == ValueKind::kParameter && needed[i]) ids[i] = next++;
  }
  for (const Op& op : graph.ops) {
    for (ValueId output : op.outputs) {
      if (needed[static_cast<size_t>(output)]) ids[static_cast<size_t>(output)] = next++;
    }
  }
  return ids;
}

}  // namespace

std::vector<ValueId> remove_dead_ops(Graph& graph) {
  const std::vector<bool> needed = needed_values(graph);
  const std::vector<ValueId> ids = new_ids(graph, needed);
  const auto renumber = [&ids](ValueId& id) { id = ids[static_cast<size_t>(id)]; };
  Graph result;
  ValueId count = 0;
  for (ValueId id : ids) count = std::max(count, id + 1);
  result.values.resize(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); i++) {
    if (ids[i] >= 0) result.values[static_cast<size_t>(ids[i])] = graph.values[i];
  }
  for (Op& op : graph.ops) {
    if (ids[static_cast<size_t>(op.outputs.at(0))] < 0) continue;
    for (ValueId& output : op.outputs) renumber(output);
    for_each_ref(op, renumber);
    result.add_op(std::move(op));
  }
  result.inputs = graph.inputs;
  for (ValueId& input : result.inputs) renumber(input);
  result.output = graph.output;
  for_each_ref(result.output, renumber);
  map_sizes(result, [&ids](const Expr& leaf) {
    if (leaf.kind() != Expr::Kind::kSize) return leaf;
    return Expr::size(ids[static_cast<size_t>(leaf.size_value())], leaf.size_dim(),
                      leaf.dense_int());
  });
  graph = std::move(result);
  return ids;
}

void map_sizes(Graph& graph, const std::function<Expr(const Expr&)>& leaf) {
  for_each_expr(graph, [&leaf](Expr& expr) {
    if (!expr.is_constant()) expr = expr.map_leaves(leaf);
  });
}

namespace {

/// Finds products with transposed parameters.
class LinearWriter {
 public:
  explicit LinearWriter(Graph& graph) : graph_(graph), readers_(graph.users()) {
    for (ValueId id : graph.output_values()) is_output_.push_back(id);
  }

  int run() {
    int rewritten = 0;
    for (size_t i = 0; i < graph_.ops.size(); i++) {
      Op& op = graph_.ops[i];
      const bool done = op.kind == "aten::addmm" ? write_addmm(op)
                        : op.kind == "aten::mm" || op.kind == "aten::matmul"
                            ? write_matmul(op)
                            : op.kind == "aten::add" && write_bias(op);
      rewritten += done ? 1 : 0;
    }
    return rewritten;
  }

 private:
  const Value& value(ValueId id) const { return graph_.value(id); }

  /// The parameter `W` if the value is `W` transposed; -1 if it is not.
  ValueId transposed_parameter(ValueId id) const {
    const OpId producer = value(id).producer;
    if (producer < 0 || value(id).shape.size() != 2) return -1;
    const Op& op = graph_.op(producer);
    const bool swaps =
        op.kind == "aten::t" ||
        (op.kind == "aten::transpose" && (op.integer("dim0") + op.integer("dim1") + 4) % 2 == 1) ||
        (op.kind == "aten::permute" &&
         (op.integers("dims")[0] == 1 || op.integers("dims")[0] == -1));
    if (!swaps) return -1;
    const ValueId source = op.tensor("self");
    return value(source).kind == ValueKind::kParameter ? source : -1;
  }

  static void write(Op& op, ValueId input, ValueId weight, ValueId bias) {
    op.kind = "aten::linear";
    op.overload.clear();
    op.args = {{"input", ValueRef{input}},
               {"weight", ValueRef{weight}},
               {"bias", bias < 0 ? Arg() : Arg(ValueRef{bias})}};
  }

  bool write_addmm(Op& op) {
    const ValueId weight = transposed_parameter(op.tensor("mat2"));
    const ValueId bias = op.tensor("self");
    if (weight < 0 || value(bias).shape.size() != 1) return false;
    if (op.real("alpha") != 1 || op.real("beta") != 1) return false;
    write(op, op.tensor("mat1"), weight, bias);
    return true;
  }

  bool write_matmul(Op& op) {
    const ValueId weight =
        transposed_parameter(op.tensor(op.kind == "aten::mm" ? "mat2" : "other"));
    if (weight < 0 || value(op.tensor("self")).shape.size() < 2) return false;
    write(op, op.tensor("self"), weight, -1);
    return true;
  }

  bool only_reader(ValueId id) const {
    for (ValueId output : is_output_) {
      if (output == id) return false;
    }
    return readers_[static_cast<size_t>(id)].size() == 1;
  }

  /// `linear(x, W) + b`, with the bias on either side.
  bool write_bias(Op& op) {
    if (op.overload != "Tensor" || op.real("alpha") != 1) return false;
    for (const auto& [product, bias] : {std::pair("self", "other"), std::pair("other", "self")}) {
      const ValueId sum = op.tensor(product), added = op.tensor(bias);
      const OpId producer = sum < 0 ? -1 : value(sum).producer;
      if (producer < 0 || added < 0 || !only_reader(sum)) continue;
      const Op& linear = graph_.op(producer);
      if (linear.kind != "aten::linear" || linear.has("bias")) continue;
      if (value(added).kind != ValueKind::kParameter || value(added).shape.size() != 1 ||
          value(added).shape[0] != value(sum).shape.back()) {
        continue;
      }
      write(op, linear.tensor("input"), linear.tensor("weight"), added);
      return true;
    }
    return false;
  }

  Graph& graph_;
  std::vector<std::vector<OpId>> readers_;
  std::vector<ValueId> is_output_;
};

}  // namespace

int write_as_linear(Graph& graph) { return LinearWriter(graph).run(); }

}  // namespace cpd
