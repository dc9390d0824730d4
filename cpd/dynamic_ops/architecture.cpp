#include <cpd/dynamic_ops/architecture.h>
#include <cpd/dynamic_ops/mutable_channel_container.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <sstream>

namespace cpd {
namespace {

struct Node {
  std::string name;
  const LayerText* layer = nullptr;
  std::vector<Node> children;

  Node& child(const std::string& wanted) {
    for (auto& node : children) {
      if (node.name == wanted) return node;
    }
    children.push_back({wanted, nullptr, {}});
    return children.back();
  }
};

/// The module that owns the op's first parameter; the op's scope if it reads none.
std::string path_of(const Model& model, const Op& op) {
  for (const ValueId id : op.operands()) {
    if (model.graph.value(id).kind != ValueKind::kParameter) continue;
    const std::string& name = model.parameter(id).name;
    const auto dot = name.rfind('.');
    return dot == std::string::npos ? op.scope : name.substr(0, dot);
  }
  return op.scope;
}

Node tree_of(const std::vector<NamedLayer>& layers) {
  Node root;
  for (const auto& layer : layers) {
    Node* node = &root;
    std::istringstream path(layer.path);
    for (std::string part; std::getline(path, part, '.');) node = &node->child(part);
    node->layer = &layer.text;
  }
  return root;
}

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// `Sequential` where all children are numbered.
std::string type_of(const Node& node) {
  if (node.layer != nullptr) return node.layer->type;
  const bool numbered = std::all_of(node.children.begin(), node.children.end(),
                                    [](const Node& child) { return is_number(child.name); });
  return numbered ? "Sequential" : "Module";
}

class TreePrinter {
 public:
  TreePrinter(const Model& model, const Combing& combing, const Keep& keep)
      : model_(model), combing_(combing), keep_(keep) {}

  void print(const Node& node, const std::string& type, int indent) {
    text_ << type << '(';
    const bool empty = node.layer == nullptr && node.children.empty();
    if (!empty) {
      text_ << '\n';
      if (node.layer != nullptr) print_layer(*node.layer, indent + 2);
      for (const auto& child : node.children) {
        text_ << spaces(indent + 2) << '(' << child.name << "): ";
        print(child, type_of(child), indent + 2);
        text_ << '\n';
      }
      text_ << spaces(indent);
    }
    text_ << ')';
  }

  std::string text() const { return text_.str(); }

 private:
  static std::string spaces(int count) { return std::string(static_cast<size_t>(count), ' '); }

  void print_layer(const LayerText& layer, int indent) {
    text_ << spaces(indent) << layer.attributes << '\n';
    if (layer.ports.empty()) return;
    text_ << spaces(indent) << "(mutable_attrs): ModuleDict(\n";
    for (const auto& port : layer.ports) {
      const MutableChannelContainer container(model_, combing_, keep_, port);
      text_ << spaces(indent + 2) << '(' << port.name << "): " << container.text(indent + 2)
            << '\n';
    }
    text_ << spaces(indent) << ")\n";
  }

  const Model& model_;
  const Combing& combing_;
  const Keep& keep_;
  std::ostringstream text_;
};

}  // namespace

std::vector<NamedLayer> layers_of(const Model& model,
                                  const std::vector<std::unique_ptr<DynamicOp>>& ops) {
  std::vector<NamedLayer> layers;
  std::set<std::string> seen;
  for (size_t i = 0; i < ops.size(); ++i) {
    auto text = ops[i]->describe();
    if (!text) continue;
    const auto path = path_of(model, model.graph.ops[i]);
    if (path.empty() || !seen.insert(path).second) continue;
    layers.push_back({path, std::move(*text)});
  }
  return layers;
}

std::string architecture_text(const Model& model, const Combing& combing, const Keep& keep,
                              const std::vector<NamedLayer>& layers, int indent) {
  TreePrinter printer(model, combing, keep);
  printer.print(tree_of(layers), "Model", indent);
  return printer.text();
}

}  // namespace cpd
