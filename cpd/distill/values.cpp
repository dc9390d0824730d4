#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/distill/values.h>

#include <algorithm>

namespace cpd {
namespace {

/// The module that owns the op's first parameter, else the one that the file places the op in.
std::string layer_of(const Model& model, const Op& op) {
  for (const ValueId id : op.operands()) {
    if (model.graph.value(id).kind != ValueKind::kParameter) continue;
    const Parameter& parameter = model.parameter(id);
    const auto dot = parameter.name.rfind('.');
    const bool owned = parameter.role != ParameterRole::kConstant && dot != std::string::npos;
    if (owned) return parameter.name.substr(0, dot);
  }
  return op.scope;
}

bool is_part(const std::string& layer, const std::string& of) {
  return layer == of || layer.starts_with(of + ".");
}

ValueId value_named(const Graph& graph, const std::string& name) {
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const Value& value = graph.values[i];
    if (value.kind == ValueKind::kResult && value.name == name) return static_cast<ValueId>(i);
  }
  return -1;
}

}  // namespace

std::vector<std::string> layer_names(const Model& model) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const Op& op : model.graph.ops) {
    const std::string layer = layer_of(model, op);
    for (size_t dot = layer.find('.'); dot != std::string::npos; dot = layer.find('.', dot + 1)) {
      add(layer.substr(0, dot));
    }
    if (!layer.empty()) add(layer);
  }
  return names;
}

ValueId find_value(const Model& model, const std::string& name) {
  if (name.empty()) throw Error("no layer is named", {}, "a module path such as `layer3`");
  const ValueId named = value_named(model.graph, name);
  if (named >= 0) return named;
  const auto& ops = model.graph.ops;
  const auto last = std::find_if(ops.rbegin(), ops.rend(),
                                 [&](const Op& op) { return is_part(layer_of(model, op), name); });
  if (last != ops.rend()) return last->outputs.front();
  throw Error("the network has no layer '" + name + "'" + suggestion(name, layer_names(model)), {},
              "the path of a module");
}

ValueRecorder::ValueRecorder(std::vector<ValueId> wanted) : wanted_(std::move(wanted)) {}

RunObserver ValueRecorder::observer() {
  taken_.clear();
  return [this](const Op& op, Tensors& values) {
    for (const ValueId id : op.outputs) {
      if (std::find(wanted_.begin(), wanted_.end(), id) == wanted_.end()) continue;
      taken_[id] = values[static_cast<size_t>(id)];
    }
  };
}

ValueTensors ValueRecorder::take() {
  for (const ValueId id : wanted_) {
    if (taken_.count(id) > 0) continue;
    throw Error("value " + std::to_string(id) + " was not computed", {},
                "a run of the network with the recorder's observer");
  }
  return std::move(taken_);
}

}  // namespace cpd
