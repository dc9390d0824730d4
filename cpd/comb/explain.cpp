#include <cpd/comb/compaction.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <set>
#include <sstream>

namespace cpd {
namespace {

bool belongs(const Parameter& parameter, const std::string& layer) {
  const auto matches = [&](const std::string& name) {
    return name == layer || name.rfind(layer + ".", 0) == 0;
  };
  return matches(parameter.name) ||
         std::any_of(parameter.aliases.begin(), parameter.aliases.end(), matches);
}

/// All layers and parameters.
std::vector<std::string> names_in(const Model& model) {
  std::set<std::string> names;
  for (const auto& parameter : model.parameters) {
    std::string name = parameter.name;
    for (size_t dot = name.size(); dot != std::string::npos; dot = name.rfind('.')) {
      names.insert(name.substr(0, dot));
      name.resize(dot);
    }
  }
  if (names.empty()) throw Error("the network has no parameters", {.path = model.source});
  return {names.begin(), names.end()};
}

std::vector<ValueId> values_of(const Model& model, const std::string& layer) {
  std::vector<ValueId> values;
  bool known = false;
  for (const auto& parameter : model.parameters) {
    if (!belongs(parameter, layer)) continue;
    known = true;
    if (parameter.value >= 0) values.push_back(parameter.value);
  }
  if (!known) {
    throw Error(
        "there is no layer or parameter '" + layer + "'" + suggestion(layer, names_in(model)),
        {.path = model.source}, "a module or a parameter, such as " + names_in(model).front());
  }
  return values;
}

std::set<int> groups_of(const Combing& combing, const std::vector<ValueId>& values) {
  std::set<int> groups;
  for (size_t g = 0; g < combing.groups.size(); ++g) {
    for (const auto& member : combing.groups[g].members) {
      if (std::find(values.begin(), values.end(), member.parameter) != values.end()) {
        groups.insert(static_cast<int>(g));
      }
    }
  }
  return groups;
}

using Edges = boost::adjacency_list<boost::setS, boost::vecS, boost::undirectedS>;

/// The part of the network that one group's channels run through: values below, ops above.
class Corridor {
 public:
  Corridor(const Model& model, const Combing& combing, int group)
      : model_(model), edges_(model.graph.values.size() + model.graph.ops.size()) {
    std::vector<bool> inside(model.graph.values.size(), false);
    for (size_t v = 0; v < inside.size(); ++v) inside[v] = carries(combing, v, group);
    for (size_t i = 0; i < model.graph.ops.size(); ++i) {
      const Op& op = model.graph.ops[i];
      for (ValueId value : op.operands()) connect(inside, value, i);
      for (ValueId value : op.outputs) connect(inside, value, i);
    }
  }

  /// Ops on the shortest way from one of `from` to one of `to`.
  std::vector<OpId> way(const std::vector<ValueId>& from, const std::vector<ValueId>& to) const {
    std::vector<OpId> best;
    for (ValueId start : from) {
      std::vector<size_t> parent(boost::num_vertices(edges_));
      for (size_t v = 0; v < parent.size(); ++v) parent[v] = v;
      boost::breadth_first_search(edges_, static_cast<size_t>(start),
                                  boost::visitor(boost::make_bfs_visitor(boost::record_predecessors(
                                      parent.data(), boost::on_tree_edge()))));
      for (ValueId end : to) {
        const auto ops = back(parent, static_cast<size_t>(start), static_cast<size_t>(end));
        if (!ops.empty() && (best.empty() || ops.size() < best.size())) best = ops;
      }
    }
    return best;
  }

 private:
  static bool carries(const Combing& combing, size_t value, int group) {
    for (int array : combing.dims[value]) {
      if (array < 0) continue;
      for (int32_t form : combing.arrays[static_cast<size_t>(array)].entries) {
        for (Primitive primitive : combing.forms[static_cast<size_t>(form)]) {
          if (combing.owner[static_cast<size_t>(primitive)].first == group) return true;
        }
      }
    }
    return false;
  }
  void connect(const std::vector<bool>& inside, ValueId value, size_t op) {
    if (!inside[static_cast<size_t>(value)]) return;
    boost::add_edge(static_cast<size_t>(value), model_.graph.values.size() + op, edges_);
  }
  std::vector<OpId> back(const std::vector<size_t>& parent, size_t start, size_t end) const {
    std::vector<OpId> ops;
    if (parent[end] == end && end != start) return ops;
    for (size_t at = end; at != start; at = parent[at]) {
      if (at >= model_.graph.values.size()) {
        ops.push_back(static_cast<OpId>(at - model_.graph.values.size()));
      }
    }
    std::reverse(ops.begin(), ops.end());
    return ops;
  }

  const Model& model_;
  Edges edges_;
};

void tell_op(std::ostream& out, const Op& op) {
  out << "  " << op.kind;
  if (!op.scope.empty()) out << " in " << op.scope;
  if (!op.where.text().empty()) out << " (" << op.where.text() << ")";
  out << "\n";
}

void tell_layer(std::ostream& out, const Model& model, const Combing& combing,
                const std::string& layer) {
  const auto values = values_of(model, layer);
  if (values.empty()) out << layer << " stays as it is: the forward pass does not read it\n";
  for (int group : groups_of(combing, values)) {
    const auto& found = combing.groups[static_cast<size_t>(group)];
    out << layer << " has channels of " << found.name << " (" << found.of << ", "
        << name_of(found.level) << ")";
    if (!found.offered) out << ", not offered: " << found.reason;
    out << "\n";
  }
  for (const auto& locked : combing.locked) {
    if (std::find(values.begin(), values.end(), locked.parameter) == values.end()) continue;
    out << model.parameter(locked.parameter).name << " dimension " << locked.dim << ": "
        << locked.count << " locked, because " << locked.reason;
    if (locked.op >= 0) out << " at " << model.graph.op(locked.op).kind;
    if (!locked.where.text().empty()) out << " (" << locked.where.text() << ")";
    out << "\n";
  }
}

}  // namespace

std::string explain(const Model& model, const Combing& combing, const std::string& layer_a,
                    const std::string& layer_b) {
  std::ostringstream out;
  tell_layer(out, model, combing, layer_a);
  if (layer_b.empty() || layer_b == layer_a) return out.str();
  tell_layer(out, model, combing, layer_b);
  const auto from = values_of(model, layer_a), to = values_of(model, layer_b);
  const auto groups_a = groups_of(combing, from), groups_b = groups_of(combing, to);
  bool shared = false;
  for (int group : groups_a) {
    if (groups_b.count(group) == 0) continue;
    shared = true;
    out << "They share " << combing.groups[static_cast<size_t>(group)].name
        << "; its channels pass through\n";
    for (OpId op : Corridor(model, combing, group).way(from, to)) tell_op(out, model.graph.op(op));
  }
  if (!shared) out << "They share no channels: either can be pruned without the other.\n";
  return out.str();
}

}  // namespace cpd
