#include <cpd/comb/residual_blocks.h>
#include <cpd/core/error.h>
#include <cpd/graph/refs.h>

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dominator_tree.hpp>
#include <functional>
#include <set>

namespace cpd {
namespace {

void for_each_size(const Arg& arg, const std::function<void(ValueId, int)>& visit) {
  if (const auto* expr = std::get_if<Expr>(&arg)) expr->for_each_size(visit);
  if (const auto* list = std::get_if<std::vector<Expr>>(&arg)) {
    for (const auto& expr : *list) expr.for_each_size(visit);
  }
}

void for_each_size(const Output& output, const std::function<void(ValueId, int)>& visit) {
  if (output.kind == Output::Kind::kNumber) output.number.for_each_size(visit);
  for (const auto& item : output.items) for_each_size(item, visit);
}

/// The ops that read each value or its size; -1 for the network's outputs.
std::vector<std::set<OpId>> readers_of(const Graph& graph) {
  std::vector<std::set<OpId>> readers(graph.values.size());
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    const auto note = [&](ValueId value) {
      readers[static_cast<size_t>(value)].insert(static_cast<OpId>(i));
    };
    for (ValueId operand : graph.ops[i].operands()) note(operand);
    for (const auto& arg : graph.ops[i].args) {
      for_each_size(arg.value, [&](ValueId value, int) { note(value); });
    }
  }
  for (ValueId output : graph.output_values()) readers[static_cast<size_t>(output)].insert(-1);
  for_each_size(graph.output,
                [&](ValueId value, int) { readers[static_cast<size_t>(value)].insert(-1); });
  return readers;
}

/// For each value the one nearest before it on every way from the network's inputs; -1 for none.
std::vector<ValueId> dominators_of(const Graph& graph) {
  using Ways = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS>;
  const size_t count = graph.values.size();
  Ways ways(count + 1);  // values, and the source of all inputs
  for (ValueId input : graph.inputs) boost::add_edge(count, static_cast<size_t>(input), ways);
  for (const Op& op : graph.ops) {
    for (ValueId operand : op.operands()) {
      for (ValueId output : op.outputs) {
        boost::add_edge(static_cast<size_t>(operand), static_cast<size_t>(output), ways);
      }
    }
  }
  const auto none = boost::graph_traits<Ways>::null_vertex();
  std::vector<size_t> found(count + 1, none);
  boost::lengauer_tarjan_dominator_tree(
      ways, count,
      boost::make_iterator_property_map(found.begin(), boost::get(boost::vertex_index, ways)));
  std::vector<ValueId> result;
  for (size_t value = 0; value < count; ++value) {
    const size_t dominator = found[value];
    result.push_back(dominator == none || dominator == count ? -1
                                                             : static_cast<ValueId>(dominator));
  }
  return result;
}

/// The path of modules that all of these parameters share.
std::string common_path(const std::vector<std::string>& parameters) {
  std::string common = parameters.front();
  for (const auto& name : parameters) {
    while (name.compare(0, common.size(), common) != 0 ||
           (name.size() > common.size() && name[common.size()] != '.')) {
      const size_t dot = common.rfind('.');
      if (dot == std::string::npos) return "";
      common.resize(dot);
    }
  }
  const size_t dot = common.rfind('.');
  const bool whole = std::find(parameters.begin(), parameters.end(), common) != parameters.end();
  return whole && dot != std::string::npos ? common.substr(0, dot) : common;
}

class BlockFinder {
 public:
  explicit BlockFinder(const Model& model)
      : model_(model),
        graph_(model.graph),
        readers_(readers_of(graph_)),
        dominators_(dominators_of(graph_)),
        names_(graph_.values.size()) {
    for (const auto& entry : model.parameters) {
      const bool trained = entry.role == ParameterRole::kParameter;
      if (entry.value >= 0 && trained) names_[static_cast<size_t>(entry.value)] = entry.name;
    }
  }

  std::vector<ResidualBlock> run() {
    std::vector<ResidualBlock> blocks;
    for (size_t i = 0; i < graph_.ops.size(); ++i) {
      if (!is_sum(graph_.ops[i])) continue;
      const auto sum = static_cast<OpId>(i);
      const ValueId a = graph_.ops[i].tensor("self"), b = graph_.ops[i].tensor("other");
      if (!add(sum, a, b, blocks)) add(sum, b, a, blocks);
    }
    std::map<std::string, int> taken;
    for (auto& block : blocks) {
      const int times = ++taken[block.name];
      if (times > 1) block.name += std::to_string(times);
    }
    return blocks;
  }

 private:
  /// Of two tensors in the result's own shape and type.
  bool is_sum(const Op& op) const {
    if (op.kind != "aten::add" || op.tensor("self") < 0 || op.tensor("other") < 0) return false;
    if (op.tensor("self") == op.tensor("other") || op.real("alpha") != 1) return false;
    const Value& result = graph_.value(op.outputs.front());
    const auto same = [&](ValueId id) {
      const Value& value = graph_.value(id);
      return value.shape == result.shape && value.dtype == result.dtype;
    };
    return same(op.tensor("self")) && same(op.tensor("other"));
  }

  bool add(OpId sum, ValueId trunk, ValueId branch, std::vector<ResidualBlock>& blocks) const {
    ResidualBlock block;
    block.sum = sum;
    block.trunk = trunk;
    block.ops = ops_only_for(sum, branch);
    std::vector<std::string>& all = block.parameters;
    std::vector<std::string> contracted;
    for (OpId op : block.ops) {
      for (ValueId operand : graph_.op(op).operands()) {
        const std::string& name = names_[static_cast<size_t>(operand)];
        if (name.empty()) continue;
        all.push_back(name);
        if (graph_.value(operand).shape.size() > 1) contracted.push_back(name);
      }
    }
    if (all.empty() || !follows(branch, block.ops, trunk)) return false;
    const auto& named = contracted.empty() ? all : contracted;
    const std::string path = common_path(named);
    block.name = (path.empty() ? named.front() : path) + "#block";
    blocks.push_back(std::move(block));
    return true;
  }

  /// Ops whose results are read on the way to one operand of a sum and nowhere else, ascending.
  std::vector<OpId> ops_only_for(OpId sum, ValueId branch) const {
    std::set<OpId> inside;
    for (OpId op = sum - 1; op >= 0; --op) {
      const auto& outputs = graph_.op(op).outputs;
      bool read = false, only = true;
      for (ValueId output : outputs) {
        for (OpId reader : readers_[static_cast<size_t>(output)]) {
          read = true;
          only = only && (inside.count(reader) > 0 || (reader == sum && output == branch));
        }
      }
      if (read && only) inside.insert(op);
    }
    return {inside.begin(), inside.end()};
  }

  /// Does the branch begin at the trunk, or at something that the trunk is a sum of?
  bool follows(ValueId branch, const std::vector<OpId>& ops, ValueId trunk) const {
    std::set<ValueId> terms;
    std::vector<ValueId> open = {trunk};
    while (!open.empty()) {
      const ValueId term = open.back();
      open.pop_back();
      if (!terms.insert(term).second) continue;
      const OpId producer = graph_.value(term).producer;
      if (producer < 0 || !is_sum(graph_.op(producer))) continue;
      open.push_back(graph_.op(producer).tensor("self"));
      open.push_back(graph_.op(producer).tensor("other"));
    }
    for (OpId op : ops) {
      for (ValueId operand : graph_.op(op).operands()) {
        if (terms.count(operand) > 0) return true;
      }
    }
    if (ops.empty()) return false;
    for (ValueId at = branch; at >= 0; at = dominators_[static_cast<size_t>(at)]) {
      if (terms.count(at) > 0) return true;
    }
    return false;
  }

  const Model& model_;
  const Graph& graph_;
  std::vector<std::set<OpId>> readers_;
  std::vector<ValueId> dominators_;
  std::vector<std::string> names_;  ///< of trained parameters, by value
};

std::string layer_of(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

}  // namespace

bool is_block_name(const std::string& unit) { return unit.find("#block") != std::string::npos; }

std::vector<ResidualBlock> find_residual_blocks(const Model& model) {
  return BlockFinder(model).run();
}

DroppedBlocks::DroppedBlocks(const Graph& graph, const Combing& combing, const Keep& keep)
    : graph_(&graph) {
  for (const auto& block : combing.blocks) {
    if (keep.kept(block.primitive)) continue;
    gone_.resize(graph.ops.size(), false);
    for (OpId op : block.ops) gone_[static_cast<size_t>(op)] = true;
    gone_[static_cast<size_t>(block.sum)] = true;
    trunks_[graph.op(block.sum).outputs.front()] = block.trunk;
  }
}

ValueId DroppedBlocks::resolved(ValueId value) const {
  for (auto found = trunks_.find(value); found != trunks_.end(); found = trunks_.find(value)) {
    value = found->second;
  }
  return value;
}

Expr DroppedBlocks::resolved(const Expr& expr) const {
  if (!any()) return expr;
  return expr.map_leaves([this](const Expr& leaf) {
    if (leaf.kind() != Expr::Kind::kSize) return leaf;
    return Expr::size(resolved(leaf.size_value()), leaf.size_dim(), leaf.dense_int());
  });
}

Op DroppedBlocks::resolved(const Op& op) const {
  Op result = op;
  if (!any()) return result;
  for_each_ref(result, [this](ValueId& id) { id = resolved(id); });
  for (auto& arg : result.args) {
    if (auto* expr = std::get_if<Expr>(&arg.value)) *expr = resolved(*expr);
    if (auto* list = std::get_if<std::vector<Expr>>(&arg.value)) {
      for (auto& expr : *list) expr = resolved(expr);
    }
  }
  return result;
}

Output DroppedBlocks::resolved(const Output& output) const {
  Output result = output;
  result.value = resolved(output.value);
  result.number = resolved(output.number);
  for (auto& item : result.items) item = resolved(item);
  return result;
}

Graph DroppedBlocks::rest() const {
  Graph graph = *graph_;
  graph.ops.clear();
  for (auto& value : graph.values) value.producer = -1;
  for (size_t i = 0; i < graph_->ops.size(); ++i) {
    if (!has(static_cast<OpId>(i))) graph.add_op(resolved(graph_->ops[i]));
  }
  graph.output = resolved(graph.output);
  return graph;
}

std::vector<bool> DroppedBlocks::parameters(const Model& model) const {
  std::vector<bool> leaves(model.parameters.size(), false);
  if (!any()) return leaves;
  std::vector<bool> read(graph_->values.size(), false), still_read = read;
  for (size_t i = 0; i < graph_->ops.size(); ++i) {
    for (ValueId operand : graph_->ops[i].operands()) {
      read[static_cast<size_t>(operand)] = true;
      if (!has(static_cast<OpId>(i))) still_read[static_cast<size_t>(operand)] = true;
    }
  }
  std::map<std::string, bool> layers;  // layers that lose something: is anything of them left?
  for (size_t i = 0; i < leaves.size(); ++i) {
    const Parameter& entry = model.parameters[i];
    if (entry.value < 0) continue;
    const auto value = static_cast<size_t>(entry.value);
    leaves[i] = read[value] && !still_read[value];
    if (read[value]) layers[layer_of(entry.name)] |= !leaves[i];
  }
  for (size_t i = 0; i < leaves.size(); ++i) {
    const Parameter& entry = model.parameters[i];
    if (entry.value >= 0 && read[static_cast<size_t>(entry.value)]) continue;
    const auto layer = layers.find(layer_of(entry.name));
    leaves[i] = layer != layers.end() && !layer->second;
  }
  return leaves;
}

}  // namespace cpd
