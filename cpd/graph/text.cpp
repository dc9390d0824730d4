#include <cpd/graph/graph.h>

#include <algorithm>
#include <cctype>

namespace cpd {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '\n') {
      result += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

bool is_plain(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '.';
  });
}

std::string word(const std::string& name) { return is_plain(name) ? name : quoted(name); }

std::string id_text(ValueId id) { return id < 0 ? "None" : "%" + std::to_string(id); }

template <typename Items, typename Print>
std::string joined(const Items& items, Print print) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ", ") + print(item);
  return text;
}

struct ArgText {
  std::string operator()(std::monostate) const { return "None"; }
  std::string operator()(const ValueRef& ref) const { return id_text(ref.id); }
  std::string operator()(const std::vector<ValueRef>& refs) const {
    if (refs.empty()) return "[%]";
    return "[" + joined(refs, [](const ValueRef& ref) { return id_text(ref.id); }) + "]";
  }
  std::string operator()(const Expr& expr) const { return expr.text(); }
  std::string operator()(const std::vector<Expr>& exprs) const {
    return "[" + joined(exprs, [](const Expr& expr) { return expr.text(); }) + "]";
  }
  std::string operator()(const std::string& text) const { return quoted(text); }
};

std::string type_text(const Value& value) {
  const auto number = [](int64_t size) { return std::to_string(size); };
  return std::string(name_of(value.dtype)) + "[" + joined(value.shape, number) + "]";
}

std::string value_text(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  const std::string name = value.name.empty() ? "" : " " + word(value.name);
  return id_text(id) + name + " : " + type_text(value);
}

std::string op_text(const Graph& graph, const Op& op) {
  std::string text = joined(op.outputs, [&](ValueId id) { return value_text(graph, id); });
  text += (text.empty() ? "" : " ") + std::string("= ") + op.kind;
  if (!op.overload.empty()) text += "." + op.overload;
  text += "(" + joined(op.args, [](const NamedArg& arg) {
            return arg.name + "=" + std::visit(ArgText(), arg.value);
          });
  text += ")";
  std::string comment = op.where.file.empty() ? "" : " " + quoted(op.where.file);
  if (is_plain(op.where.file)) comment = " " + op.where.file;
  if (!comment.empty()) comment += ":" + std::to_string(op.where.line);
  if (!op.scope.empty()) comment += " @" + word(op.scope);
  return comment.empty() ? text : text + "  #" + comment;
}

std::string output_text(const Output& output) {
  const auto keyed = [&output](const char* separator, bool quote) {
    std::string text;
    for (size_t i = 0; i < output.items.size(); i++) {
      const std::string& key = output.keys[i];
      text += (i > 0 ? ", " : "") + (quote ? quoted(key) : key) + separator +
              output_text(output.items[i]);
    }
    return text;
  };
  switch (output.kind) {
    case Output::Kind::kTensor:
      return id_text(output.value);
    case Output::Kind::kNone:
      return "None";
    case Output::Kind::kNumber:
      return "number " + output.number.text();
    case Output::Kind::kList:
      return "[" + joined(output.items, output_text) + "]";
    case Output::Kind::kDict:
      return "{" + keyed(": ", true) + "}";
    case Output::Kind::kTuple:
      break;
  }
  if (!output.type_name.empty()) return output.type_name + "(" + keyed("=", false) + ")";
  const std::string items = joined(output.items, output_text);
  return "(" + items + (output.items.size() == 1 ? ",)" : ")");
}

}  // namespace

std::string Graph::text() const {
  std::string text;
  for (ValueId id : inputs) text += "input " + value_text(*this, id) + "\n";
  for (size_t i = 0; i < values.size(); i++) {
    if (values[i].kind != ValueKind::kParameter) continue;
    text += "parameter " + value_text(*this, static_cast<ValueId>(i)) + "\n";
  }
  for (const Op& op : ops) text += op_text(*this, op) + "\n";
  return text + "return " + output_text(output) + "\n";
}

}  // namespace cpd
