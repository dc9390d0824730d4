#include <cpd/cli/dot.h>
#include <cpd/core/json.h>
#include <cpd/core/text.h>

#include <set>
#include <sstream>

namespace cpd::cli {
namespace {

std::string quoted(const std::string& text) { return Json(text).dump(); }

/// The units whose channels a value carries.
std::set<int32_t> units_in(const Combing& combing, ValueId value) {
  std::set<int32_t> units;
  for (int array : combing.dims[static_cast<size_t>(value)]) {
    if (array < 0) continue;
    for (int32_t form : combing.arrays[static_cast<size_t>(array)].entries) {
      for (Primitive primitive : combing.forms[static_cast<size_t>(form)]) {
        const int32_t unit = combing.owner[static_cast<size_t>(primitive)].first;
        if (unit >= 0) units.insert(unit);
      }
    }
  }
  return units;
}

/// The layer whose parameters an op reads: `conv1` of `conv1.weight`.
std::string layer_of(const Model& model, const Op& op) {
  for (ValueId value : op.operands()) {
    if (model.graph.value(value).kind != ValueKind::kParameter) continue;
    const std::string& name = model.graph.value(value).name;
    const size_t dot = name.rfind('.');
    return dot == std::string::npos ? name : name.substr(0, dot);
  }
  return op.scope;
}

std::string edge_text(const ChannelMutator& mutator, const std::set<int32_t>& units) {
  // Equal steps around the colour wheel, far apart for neighbours.
  constexpr double kGoldenRatio = 0.61803398875;
  std::vector<std::string> names;
  for (int32_t unit : units) {
    const MutableChannelUnit& found = *mutator.units()[static_cast<size_t>(unit)];
    names.push_back(found.name() + (found.is_mutable() ? "" : " (stays whole)"));
  }
  if (names.empty()) return " [color=gray]";
  const double turn = kGoldenRatio * static_cast<double>(*units.begin());
  std::ostringstream out;
  out << " [color=\"" << turn - static_cast<double>(static_cast<int>(turn))
      << " 0.8 0.7\", label=" << quoted(joined(names, "\n")) << "]";
  return out.str();
}

}  // namespace

std::string dot_of(const ChannelMutator& mutator) {
  const Model& model = mutator.dense();
  const Graph& graph = model.graph;
  std::ostringstream out;
  out << "digraph network {\n  node [shape=box];\n  edge [fontsize=8];\n";
  for (ValueId input : graph.inputs) {
    out << "  v" << input << " [shape=ellipse, label=" << quoted(graph.value(input).name) << "];\n";
  }
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    const Op& op = graph.ops[i];
    const std::string layer = layer_of(model, op);
    out << "  o" << i << " [label=" << quoted(op.kind + (layer.empty() ? "" : "\n" + layer))
        << "];\n";
    for (ValueId value : op.operands()) {
      const Value& operand = graph.value(value);
      if (operand.kind == ValueKind::kParameter) continue;
      const bool input = operand.kind == ValueKind::kInput;
      out << "  " << (input ? "v" : "o") << (input ? value : operand.producer) << " -> o" << i
          << edge_text(mutator, units_in(mutator.combing(), value)) << ";\n";
    }
  }
  out << "}\n";
  return out.str();
}

}  // namespace cpd::cli
