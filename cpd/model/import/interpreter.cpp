#include <ATen/core/grad_mode.h>
#include <cpd/core/error.h>
#include <cpd/model/import/interpreter_internal.h>
#include <cpd/model/scalar_type.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>

namespace cpd::import {
namespace {

using c10::IValue;
using torch::jit::Node;
namespace attr = c10::attr;
namespace prim = c10::prim;

Where where_of(const Node* node) {
  return {node->kind().toQualString(), source_line(node).text(), ""};
}

bool raises_only(torch::jit::Block* block) {
  return std::any_of(block->nodes().begin(), block->nodes().end(),
                     [](Node* node) { return node->kind() == prim::RaiseException; });
}

IValue make_list(const c10::TypePtr& element, std::vector<IValue> items) {
  if (element->isSubtypeOf(*c10::TensorType::get())) {
    c10::List<at::Tensor> list;
    for (auto& item : items) list.push_back(item.toTensor());
    return list;
  }
  switch (element->kind()) {
    case c10::TypeKind::IntType: {
      c10::List<int64_t> list;
      for (auto& item : items) list.push_back(item.toInt());
      return list;
    }
    case c10::TypeKind::FloatType: {
      c10::List<double> list;
      for (auto& item : items) list.push_back(item.toDouble());
      return list;
    }
    case c10::TypeKind::BoolType: {
      c10::List<bool> list;
      for (auto& item : items) list.push_back(item.toBool());
      return list;
    }
    default: {
      c10::impl::GenericList list(element);
      for (auto& item : items) list.push_back(std::move(item));
      return list;
    }
  }
}

/// Arithmetic of TorchScript by the names of Expr.
const std::map<std::string, std::string>& number_functions() {
  static const std::map<std::string, std::string> functions = {
      {"aten::add", "add"},
      {"aten::sub", "sub"},
      {"aten::mul", "mul"},
      {"aten::div", "div"},
      {"aten::true_divide", "div"},
      {"aten::floordiv", "floordiv"},
      {"aten::floor_divide", "floordiv"},
      {"aten::remainder", "remainder"},
      {"aten::fmod", "remainder"},
      {"aten::neg", "neg"},
      {"aten::pow", "pow"},
      {"aten::sqrt", "sqrt"},
      {"aten::ceil", "ceil"},
      {"aten::floor", "floor"},
      {"prim::min", "min"},
      {"prim::max", "max"},
      {"aten::Int", "int"},
      {"aten::Float", "float"},
      {"aten::Bool", "bool"},
      {"aten::eq", "eq"},
      {"aten::ne", "ne"},
      {"aten::lt", "lt"},
      {"aten::le", "le"},
      {"aten::gt", "gt"},
      {"aten::ge", "ge"},
      {"aten::__and__", "and"},
      {"aten::__or__", "or"},
      {"aten::__not__", "not"},
      {"aten::IntImplicit", "int"},
      {"aten::FloatImplicit", "float"},
      {"aten::ScalarImplicit", ""},
      {"prim::NumToTensor", ""},
      {"aten::item", ""},
  };
  return functions;
}

bool same_number(const Number& a, const IValue& b) {
  if (b.isInt()) return std::holds_alternative<int64_t>(a) && as_int(a) == b.toInt();
  if (b.isDouble()) return std::holds_alternative<double>(a) && as_double(a) == b.toDouble();
  if (b.isBool()) return std::holds_alternative<bool>(a) && as_bool(a) == b.toBool();
  if (b.isTensor()) return b.toTensor().item().toDouble() == as_double(a);
  return false;
}

bool is_tensorlike(const IValue& value) {
  return value.isTensor() || (value.isTensorList() && !value.toTensorList().empty());
}

std::vector<at::Tensor> tensors_in(const std::vector<IValue>& values) {
  std::vector<at::Tensor> all;
  for (const auto& value : values) {
    if (value.isTensor()) all.push_back(value.toTensor());
    if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorVector()) all.push_back(tensor);
    }
  }
  return all;
}

}  // namespace

SourceLine source_line(const Node* node) {
  const auto line_of = [](const torch::jit::SourceRange& range) -> SourceLine {
    const auto found = range.file_line_col();
    if (!found) return {};
    return {std::get<0>(*found), static_cast<int>(std::get<1>(*found))};
  };
  const auto is_library = [](const SourceLine& line) {
    return line.file.find("/torch/") != std::string::npos;
  };
  SourceLine best = line_of(node->sourceRange());
  if (node->callstack() && (best.file.empty() || is_library(best))) {
    auto frames = (*node->callstack())->vec();
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
      const SourceLine line = line_of(std::get<1>(*frame));
      if (!line.file.empty() && !is_library(line)) return line;
    }
  }
  return best;
}

Interpreter::Interpreter(const torch::jit::Module& module, std::vector<at::Tensor> inputs)
    : module_(module), inputs_(std::move(inputs)) {}

void Interpreter::add_name(const at::Tensor& tensor, const std::string& name, ParameterRole role) {
  if (!tensor.defined()) return;
  const auto [found, is_new] =
      table_.try_emplace(tensor.unsafeGetTensorImpl(), model_.parameters.size());
  if (!is_new) {
    model_.parameters[found->second].aliases.push_back(name);
    return;
  }
  model_.parameters.push_back({name, {}, role, -1, tensor});
}

void Interpreter::name_tensors(const torch::jit::Module& module, const std::string& prefix) {
  const auto type = module.type();
  for (int pass = 0; pass < 3; ++pass) {
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const std::string name = prefix + type->getAttributeName(i);
      const IValue value = module.attr(type->getAttributeName(i));
      const bool is_module = type->getAttribute(i)->is_module();
      if (is_module && pass == 2) name_tensors(value.toModule(), name + ".");
      if (!value.isTensor() || is_module) continue;
      if (pass == 0 && type->is_parameter(i))
        add_name(value.toTensor(), name, ParameterRole::kParameter);
      if (pass == 1 && !type->is_parameter(i)) {
        add_name(value.toTensor(), name,
                 type->is_buffer(i) ? ParameterRole::kBuffer : ParameterRole::kConstant);
      }
    }
  }
}

Interpreter::Bound& Interpreter::at(torch::jit::Value* value) { return bound_.at(value); }

void Interpreter::bind(torch::jit::Value* value, IValue concrete, Symbol symbol) {
  bound_[value] = {std::move(concrete), std::move(symbol)};
}

Handle Interpreter::parameter_handle(const at::Tensor& tensor, const std::string& name) {
  const void* key = tensor.unsafeGetTensorImpl();
  const auto known = handles_.find(key);
  if (known != handles_.end()) return known->second;
  auto entry = table_.find(key);
  if (entry == table_.end()) {
    add_name(tensor, name.empty() ? "CONSTANTS.c" + std::to_string(constants_++) : name,
             ParameterRole::kConstant);
    entry = table_.find(key);
  }
  Parameter& parameter = model_.parameters[entry->second];
  parameter.value = builder_.add_value(tensor, ValueKind::kParameter, parameter.name);
  return handles_[key] = builder_.own(parameter.value);
}

Symbol Interpreter::constant_symbol(const IValue& value, const std::string& name) {
  if (value.isInt()) return Expr::constant(value.toInt());
  if (value.isDouble()) return Expr::constant(value.toDouble());
  if (value.isBool()) return Expr::constant(value.toBool());
  if (value.isTensor()) {
    return value.toTensor().defined() ? Symbol(parameter_handle(value.toTensor(), name)) : Symbol();
  }
  if (value.isList()) {
    std::vector<Symbol> items;
    for (const IValue& item : value.toListRef()) {
      items.push_back(
          constant_symbol(item, name.empty() ? "" : name + "." + std::to_string(items.size())));
    }
    return list_symbol(std::move(items));
  }
  if (value.isTuple()) {
    std::vector<Symbol> items;
    for (const IValue& item : value.toTupleRef().elements())
      items.push_back(constant_symbol(item, ""));
    return list_symbol(std::move(items));
  }
  if (value.isGenericDict()) {
    std::vector<Symbol> items;
    for (const auto& entry : value.toGenericDict())
      items.push_back(constant_symbol(entry.value(), ""));
    return list_symbol(std::move(items));
  }
  return {};
}

void Interpreter::bind_inputs(torch::jit::Graph& graph, const c10::FunctionSchema& schema) {
  const auto& arguments = schema.arguments();
  bind(graph.inputs()[0], module_._ivalue(), {});
  if (inputs_.size() + 1 > graph.inputs().size()) {
    throw Error("the network was given " + std::to_string(inputs_.size()) + " inputs", {},
                std::to_string(graph.inputs().size() - 1));
  }
  for (size_t i = 1; i < graph.inputs().size(); ++i) {
    torch::jit::Value* input = graph.inputs()[i];
    if (i <= inputs_.size()) {
      const ValueId value =
          builder_.add_value(inputs_[i - 1], ValueKind::kInput, arguments[i].name());
      builder_.graph.inputs.push_back(value);
      bind(input, inputs_[i - 1], builder_.own(value));
    } else if (arguments[i].default_value()) {
      bind(input, *arguments[i].default_value(),
           constant_symbol(*arguments[i].default_value(), ""));
    } else {
      throw Error("the network was given " + std::to_string(inputs_.size()) + " inputs", {},
                  std::to_string(graph.inputs().size() - 1) + "; nothing is known of '" +
                      arguments[i].name() + "'");
    }
  }
}

Model Interpreter::run() {
  c10::AutoGradMode no_grad(false);
  name_tensors(module_, "");
  auto method = module_.get_method("forward");
  auto graph = method.graph()->copy();
  torch::jit::Inline(*graph);
  bind_inputs(*graph, method.function().getSchema());
  run_block(graph->block());
  const Bound& last = at(graph->outputs()[0]);
  result_ = last.concrete;
  builder_.graph.output = output_of(last.concrete, last.symbol);
  model_.graph = std::move(builder_.graph);
  model_.example_inputs = inputs_;
  return std::move(model_);
}

void Interpreter::run_block(torch::jit::Block* block) {
  for (Node* node : block->nodes()) run_node(node);
}

void Interpreter::run_node(Node* node) {
  switch (node->kind()) {
    case prim::If:
      return run_if(node);
    case prim::Loop:
      return run_loop(node);
    case prim::GetAttr:
      return run_attribute(node);
    case prim::SetAttr:
      attributes_[{at(node->inputs()[0]).concrete.toObject().get(), node->s(attr::name)}] =
          at(node->inputs()[1]);
      return;
    case prim::RaiseException:
      throw Error("the network raises an error on the example input", where_of(node));
    case prim::Uninitialized:
      return bind(node->output(), IValue::uninitialized(), {});
    case prim::Constant: {
      const auto value = torch::jit::toIValue(node->output());
      if (value) bind(node->output(), *value, constant_symbol(*value, ""));
      return;
    }
    default:
      break;
  }
  if (run_structure(node) || run_list_method(node) || run_size(node) || run_number(node)) return;
  std::vector<Bound> inputs;
  for (auto* input : node->inputs()) inputs.push_back(at(input));
  const auto outputs = execute(node);
  const bool tensors = std::any_of(outputs.begin(), outputs.end(), is_tensorlike);
  if (tensors) return run_tensor_op(node, inputs, outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    Symbol symbol = constant_symbol(outputs[i], "");
    for (const auto& input : inputs) {
      if (input.symbol.poison() != nullptr) symbol = *input.symbol.poison();
    }
    bind(node->outputs()[i], outputs[i], symbol);
  }
}

void Interpreter::run_if(Node* node) {
  const Bound condition = at(node->input());
  const bool taken = condition.concrete.toBool();
  torch::jit::Block* block = node->blocks()[taken ? 0 : 1];
  if (const Poison* poison = condition.symbol.poison();
      poison != nullptr && !raises_only(node->blocks()[taken ? 1 : 0])) {
    throw Error("a branch depends on the data of a tensor, read by " + poison->op +
                    (poison->where.empty() ? "" : " (" + poison->where + ")"),
                where_of(node), "branches on shapes, flags and constants only");
  }
  run_block(block);
  for (size_t i = 0; i < node->outputs().size(); ++i) {
    bound_[node->outputs()[i]] = at(block->outputs()[i]);
  }
}

void Interpreter::run_loop(Node* node) {
  torch::jit::Block* body = node->blocks()[0];
  const size_t carried = node->outputs().size();
  std::vector<Bound> state;
  for (size_t i = 0; i < carried; ++i) state.push_back(at(node->inputs()[i + 2]));
  const int64_t trips = at(node->inputs()[0]).concrete.toInt();
  bool go = at(node->inputs()[1]).concrete.toBool();
  for (int64_t trip = 0; trip < trips && go; ++trip) {
    bind(body->inputs()[0], trip, Expr::constant(trip));
    for (size_t i = 0; i < carried; ++i) bound_[body->inputs()[i + 1]] = state[i];
    run_block(body);
    const Bound& next = at(body->outputs()[0]);
    if (next.symbol.poison() != nullptr) {
      throw Error("a loop depends on the data of a tensor", where_of(node));
    }
    go = next.concrete.toBool();
    for (size_t i = 0; i < carried; ++i) state[i] = at(body->outputs()[i + 1]);
  }
  for (size_t i = 0; i < carried; ++i) bound_[node->outputs()[i]] = state[i];
}

void Interpreter::run_attribute(Node* node) {
  const auto object = at(node->input()).concrete.toObject();
  const std::string& name = node->s(attr::name);
  const auto known = attributes_.find({object.get(), name});
  if (known != attributes_.end()) {
    bound_[node->output()] = known->second;
    return;
  }
  const IValue value = object->getAttr(name);
  if (name == "training") return bind(node->output(), false, Expr::constant(false));
  bind(node->output(), value, value.isObject() ? Symbol() : constant_symbol(value, ""));
}

/// Lists, tuples and dicts being made and taken apart.
bool Interpreter::run_structure(Node* node) {
  std::vector<IValue> values;
  std::vector<Symbol> symbols;
  for (auto* input : node->inputs()) {
    values.push_back(at(input).concrete);
    symbols.push_back(at(input).symbol);
  }
  switch (node->kind()) {
    case prim::ListConstruct:
      bind(node->output(),
           make_list(node->output()->type()->expectRef<c10::ListType>().getElementType(), values),
           list_symbol(symbols));
      return true;
    case prim::TupleConstruct: {
      const auto type = node->output()->type()->expect<c10::TupleType>();
      bind(node->output(),
           type->name() ? c10::ivalue::Tuple::createNamed(values, type)
                        : c10::ivalue::Tuple::create(values),
           list_symbol(symbols));
      return true;
    }
    case prim::DictConstruct: {
      const auto type = node->output()->type()->expect<c10::DictType>();
      c10::impl::GenericDict dict(type->getKeyType(), type->getValueType());
      std::vector<Symbol> items;
      for (size_t i = 0; i + 1 < values.size(); i += 2) {
        dict.insert_or_assign(values[i], values[i + 1]);
        items.push_back(symbols[i + 1]);
      }
      bind(node->output(), dict, list_symbol(std::move(items)));
      return true;
    }
    case prim::ListUnpack:
    case prim::TupleUnpack: {
      const auto items = values[0].isTuple() ? values[0].toTupleRef().elements().vec()
                                             : values[0].toListRef().vec();
      if (symbols[0].list() == nullptr) return false;
      for (size_t i = 0; i < items.size(); ++i) {
        bind(node->outputs()[i], items[i], (*symbols[0].list())->items.at(i));
      }
      return true;
    }
    case prim::TupleIndex: {
      const auto& items = values[0].toTupleRef().elements();
      int64_t index = values[1].toInt();
      if (index < 0) index += static_cast<int64_t>(items.size());
      bind(node->output(), items[static_cast<size_t>(index)],
           (*symbols[0].list())->items.at(static_cast<size_t>(index)));
      return true;
    }
    case prim::unchecked_cast:
    case prim::unchecked_unwrap_optional:
      bound_[node->output()] = at(node->input());
      return true;
    case prim::CreateObject: {
      const auto type = node->output()->type()->expect<c10::ClassType>();
      bind(node->output(),
           c10::ivalue::Object::create(
               c10::StrongTypePtr(module_._ivalue()->compilation_unit(), type),
               type->numAttributes()),
           {});
      return true;
    }
    case prim::isinstance: {
      const auto& types = node->tys(attr::types);
      const bool is = std::any_of(types.begin(), types.end(), [&](const c10::TypePtr& type) {
        return values[0].type()->isSubtypeOf(*type);
      });
      bind(node->output(), is, Expr::constant(is));
      return true;
    }
    default:
      break;
  }
  const std::string kind = node->kind().toQualString();
  if (kind == "aten::warn" || kind == "prim::Print") return true;
  if (kind == "aten::is_grad_enabled") {
    bind(node->output(), true, Expr::constant(true));
    return true;
  }
  return false;
}

/// Methods of lists and dicts, mirrored on symbols.
bool Interpreter::run_list_method(Node* node) {
  if (node->inputs().empty()) return false;
  const Bound first = at(node->inputs()[0]);
  if (first.symbol.list() == nullptr) return false;
  const std::string kind = node->kind().toQualString();
  auto& items = (*first.symbol.list())->items;
  const auto index_of = [&](int64_t i) {
    return static_cast<size_t>(i < 0 ? i + static_cast<int64_t>(items.size()) : i);
  };
  if (first.concrete.isGenericDict()) {
    const auto dict = first.concrete.toGenericDict();
    const auto slot_of = [&](const IValue& key) {
      size_t slot = 0;
      for (const auto& entry : dict) {
        if (entry.key() == key) return slot;
        ++slot;
      }
      return slot;
    };
    if (kind == "aten::_set_item") {
      const size_t slot = slot_of(at(node->inputs()[1]).concrete);
      if (slot >= items.size()) items.resize(slot + 1);
      items[slot] = at(node->inputs()[2]).symbol;
      execute(node);
      return true;
    }
    if (kind == "aten::__getitem__") {
      const size_t slot = slot_of(at(node->inputs()[1]).concrete);
      const auto result = execute(node);
      bind(node->output(), result[0], items.at(slot));
      return true;
    }
    if (kind == "aten::values") {
      const auto result = execute(node);
      bind(node->output(), result[0], list_symbol(items));
      return true;
    }
    if (kind == "aten::items") {
      const auto result = execute(node);
      std::vector<Symbol> pairs;
      for (const auto& item : items) pairs.push_back(list_symbol({Symbol(), item}));
      bind(node->output(), result[0], list_symbol(std::move(pairs)));
      return true;
    }
    return false;
  }
  if (kind == "aten::append") {
    items.push_back(at(node->inputs()[1]).symbol);
  } else if (kind == "aten::extend") {
    const auto more = (*at(node->inputs()[1]).symbol.list())->items;
    items.insert(items.end(), more.begin(), more.end());
  } else if (kind == "aten::insert") {
    items.insert(items.begin() +
                     static_cast<std::ptrdiff_t>(index_of(at(node->inputs()[1]).concrete.toInt())),
                 at(node->inputs()[2]).symbol);
  } else if (kind == "aten::_set_item") {
    items.at(index_of(at(node->inputs()[1]).concrete.toInt())) = at(node->inputs()[2]).symbol;
  } else if (kind == "aten::reverse") {
    std::reverse(items.begin(), items.end());
  } else if (kind == "aten::__getitem__" || kind == "aten::pop") {
    const size_t index = index_of(at(node->inputs()[1]).concrete.toInt());
    const Symbol picked = items.at(index);
    const auto result = execute(node);
    if (kind == "aten::pop") items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
    bind(node->output(), result[0], picked);
    return true;
  } else if (kind == "aten::slice" || kind == "aten::list" || kind == "aten::copy") {
    const auto result = execute(node);
    std::vector<Symbol> picked = items;
    if (kind == "aten::slice") {
      std::vector<int64_t> numbers;
      for (size_t i = 1; i < 4; ++i) {
        const auto& bound = at(node->inputs()[i]).concrete;
        numbers.push_back(bound.isNone() ? (i == 1 ? 0 : INT64_MAX) : bound.toInt());
      }
      const auto count = static_cast<int64_t>(items.size());
      const auto clip = [&](int64_t x) {
        return std::clamp<int64_t>(x < 0 ? x + count : x, 0, count);
      };
      picked.clear();
      for (int64_t i = clip(numbers[0]); i < clip(numbers[1]); i += numbers[2]) {
        picked.push_back(items[static_cast<size_t>(i)]);
      }
    }
    bind(node->output(), result[0], list_symbol(std::move(picked)));
    return true;
  } else if ((kind == "aten::add" || kind == "aten::add_") &&
             at(node->inputs()[1]).symbol.list() != nullptr) {
    const auto more = (*at(node->inputs()[1]).symbol.list())->items;
    const auto result = execute(node);
    if (kind == "aten::add_") {
      items.insert(items.end(), more.begin(), more.end());
      bind(node->output(), result[0], first.symbol);
      return true;
    }
    std::vector<Symbol> joined = items;
    joined.insert(joined.end(), more.begin(), more.end());
    bind(node->output(), result[0], list_symbol(std::move(joined)));
    return true;
  } else if (kind == "aten::mul" && at(node->inputs()[1]).concrete.isInt()) {
    const auto result = execute(node);
    std::vector<Symbol> repeated;
    for (int64_t i = 0; i < at(node->inputs()[1]).concrete.toInt(); ++i) {
      repeated.insert(repeated.end(), items.begin(), items.end());
    }
    bind(node->output(), result[0], list_symbol(std::move(repeated)));
    return true;
  } else {
    return false;
  }
  const auto result = execute(node);
  if (!node->outputs().empty() && !result.empty()) bind(node->output(), result[0], first.symbol);
  return true;
}

/// Sizes of tensors: expressions, constants where the tensor is a parameter.
bool Interpreter::run_size(Node* node) {
  const std::string kind = node->kind().toQualString();
  if (kind != "aten::size" && kind != "aten::len" && kind != "aten::numel" &&
      kind != "prim::shape") {
    return false;
  }
  const Bound tensor = at(node->inputs()[0]);
  if (tensor.symbol.handle() == nullptr) return false;
  const ValueId value = builder_.read(*tensor.symbol.handle());
  const at::Tensor concrete = tensor.concrete.toTensor();
  const auto size_of = [&](int64_t dim) -> Expr {
    const int64_t d = dim < 0 ? dim + concrete.dim() : dim;
    if (d < 0 || d >= concrete.dim()) throw Error("a dimension is out of range", where_of(node));
    if (builder_.graph.value(value).kind == ValueKind::kParameter)
      return Expr::constant(concrete.size(d));
    return Expr::size(value, static_cast<int>(d), concrete.size(d));
  };
  const auto result = execute(node);
  if (kind == "aten::len") {
    bind(node->output(), result[0], size_of(0));
  } else if (kind == "aten::numel") {
    Expr product = Expr::constant(int64_t{1});
    for (int64_t d = 0; d < concrete.dim(); ++d) product = Expr::call("mul", {product, size_of(d)});
    bind(node->output(), result[0], product);
  } else if (node->inputs().size() == 2) {
    bind(node->output(), result[0], size_of(at(node->inputs()[1]).concrete.toInt()));
  } else {
    std::vector<Symbol> sizes;
    for (int64_t d = 0; d < concrete.dim(); ++d) sizes.push_back(size_of(d));
    bind(node->output(), result[0], list_symbol(std::move(sizes)));
  }
  return true;
}

bool Interpreter::depends_on_input(const Bound& bound) {
  if (bound.symbol.handle() == nullptr) return false;
  const ValueId value = builder_.read(*bound.symbol.handle());
  std::vector<ValueId> open = {value};
  std::vector<bool> seen(builder_.graph.values.size(), false);
  while (!open.empty()) {
    const ValueId next = open.back();
    open.pop_back();
    if (seen[static_cast<size_t>(next)]) continue;
    seen[static_cast<size_t>(next)] = true;
    const Value& entry = builder_.graph.value(next);
    if (entry.kind == ValueKind::kInput) return true;
    if (entry.producer < 0) continue;
    for (ValueId operand : builder_.graph.op(entry.producer).operands()) open.push_back(operand);
  }
  return false;
}

/// Arithmetic on numbers, and numbers read from tensors.
bool Interpreter::run_number(Node* node) {
  const auto& functions = number_functions();
  const std::string kind = node->kind().toQualString();
  const auto found = functions.find(kind);
  if (found == functions.end() || node->outputs().size() != 1) return false;
  std::vector<Bound> inputs;
  for (auto* input : node->inputs()) inputs.push_back(at(input));
  for (const auto& input : inputs) {
    if (input.symbol.poison() != nullptr) {
      bind(node->output(), execute(node)[0], *input.symbol.poison());
      return true;
    }
  }
  const bool reads = kind == "aten::item" || kind == "aten::Int" || kind == "aten::Float" ||
                     kind == "aten::Bool" || kind == "aten::IntImplicit" ||
                     kind == "aten::FloatImplicit" || kind == "aten::ScalarImplicit";
  if (reads && inputs[0].symbol.handle() != nullptr) {
    const auto result = execute(node);
    if (depends_on_input(inputs[0])) {
      bind(node->output(), result[0], Poison{kind, source_line(node).text()});
    } else {
      bind(node->output(), result[0], constant_symbol(result[0], ""));
    }
    return true;
  }
  const size_t arity = std::min<size_t>(inputs.size(), 2);
  std::vector<Expr> operands;
  for (size_t i = 0; i < arity; ++i) {
    if (inputs[i].symbol.expr() == nullptr) return false;
    operands.push_back(*inputs[i].symbol.expr());
  }
  const auto result = execute(node);
  Expr value = operands.front();
  try {
    if (!found->second.empty()) value = Expr::call(found->second, operands);
  } catch (const Error&) {
    value = Expr();
  }
  if (!same_number(value.dense(), result[0])) {
    const Symbol constant = result[0].isTensor()
                                ? Symbol(parameter_handle(result[0].toTensor(), ""))
                                : constant_symbol(result[0], "");
    bind(node->output(), result[0], constant);
    return true;
  }
  bind(node->output(), result[0], value);
  return true;
}

std::vector<IValue> Interpreter::execute(Node* node) {
  torch::jit::Stack stack;
  for (auto* input : node->inputs()) stack.push_back(at(input).concrete);
  try {
    if (node->getOperator().schema().is_vararg())
      stack.push_back(static_cast<int64_t>(node->inputs().size()));
    auto operation = node->getOperation();
    operation(stack);
  } catch (const c10::Error& error) {
    throw Error(
        std::string("the network fails on the example input: ") + error.what_without_backtrace(),
        where_of(node));
  } catch (const std::runtime_error& error) {
    throw Error(std::string("the network fails on the example input: ") + error.what(),
                where_of(node));
  }
  return {stack.begin(), stack.end()};
}

ValueId Interpreter::value_of(const Bound& bound) { return builder_.read(*bound.symbol.handle()); }

Arg Interpreter::arg_of(const Bound& bound, Node* node) {
  if (const Poison* poison = bound.symbol.poison()) {
    throw Error("an argument is read from the data of a tensor by " + poison->op +
                    (poison->where.empty() ? "" : " (" + poison->where + ")"),
                where_of(node), "arguments that depend on shapes and constants only");
  }
  if (bound.concrete.isNone()) return std::monostate{};
  if (bound.symbol.handle() != nullptr) return ValueRef{value_of(bound)};
  if (const Expr* expr = bound.symbol.expr()) return *expr;
  if (bound.concrete.isTensor() && !bound.concrete.toTensor().defined()) return std::monostate{};
  if (bound.concrete.isString()) return bound.concrete.toStringRef();
  if (bound.concrete.isDevice()) return bound.concrete.toDevice().str();
  if (bound.symbol.list() != nullptr) {
    std::vector<Expr> numbers;
    std::vector<ValueRef> refs;
    const auto& items = (*bound.symbol.list())->items;
    const auto values = bound.concrete.toListRef().vec();
    for (size_t i = 0; i < items.size(); ++i) {
      const Arg item = arg_of({values[i], items[i]}, node);
      if (const auto* expr = std::get_if<Expr>(&item))
        numbers.push_back(*expr);
      else
        refs.push_back(std::holds_alternative<ValueRef>(item) ? std::get<ValueRef>(item)
                                                              : ValueRef{});
    }
    if (!refs.empty()) return refs;
    return numbers;
  }
  throw Error("an argument of an unsupported kind", where_of(node));
}

Op Interpreter::make_op(Node* node, const std::vector<Bound>& inputs) {
  const auto& schema = node->schema();
  Op op;
  op.kind = functional_kind(schema.name());
  op.overload = schema.overload_name();
  op.where = source_line(node);
  op.scope = node->scopeName();
  for (size_t i = 0; i < inputs.size(); ++i) {
    op.args.push_back({schema.arguments()[i].name(), arg_of(inputs[i], node)});
  }
  return op;
}

void Interpreter::run_tensor_op(Node* node, const std::vector<Bound>& inputs,
                                const std::vector<IValue>& outputs) {
  const std::string kind = node->kind().toQualString();
  const auto* schema = node->maybeSchema();
  if (schema == nullptr) throw Error("an unsupported construct", where_of(node));
  const auto results = tensors_in(outputs);
  static const std::vector<std::string> copies = {"aten::contiguous", "aten::clone", "aten::detach",
                                                  "aten::alias"};
  if (std::find(copies.begin(), copies.end(), kind) != copies.end() && inputs[0].symbol.handle()) {
    const Symbol symbol =
        kind == "aten::clone" ? Symbol(builder_.own(value_of(inputs[0]))) : inputs[0].symbol;
    return bind(node->output(), outputs[0], symbol);
  }
  const bool casts = kind == "aten::to" || kind == "aten::type_as" || kind == "aten::_to_copy";
  if (casts && inputs[0].symbol.handle() &&
      inputs[0].concrete.toTensor().scalar_type() == results[0].scalar_type()) {
    return bind(node->output(), outputs[0], inputs[0].symbol);
  }
  Op op = make_op(node, inputs);
  const auto* alias = schema->arguments().empty() ? nullptr : schema->arguments()[0].alias_info();
  const bool writes = alias != nullptr && alias->isWrite();
  for (size_t i = 1; i < schema->arguments().size(); ++i) {
    const auto* other = schema->arguments()[i].alias_info();
    if (other != nullptr && other->isWrite())
      throw Error("an op writes into an `out` argument", where_of(node));
  }
  const auto values = builder_.emit(op, results);
  const Op emitted = builder_.graph.ops.back();
  if (writes) {
    const auto* target = inputs[0].symbol.handle();
    if (target == nullptr) throw Error("an op writes into a number", where_of(node));
    builder_.write(*target, values[0]);
    if (!node->outputs().empty()) bind(node->output(), outputs[0], inputs[0].symbol);
    return;
  }
  const bool view = alias != nullptr && inputs[0].symbol.handle() != nullptr &&
                    !schema->returns().empty() && schema->returns()[0].alias_info() != nullptr;
  size_t next = 0;
  const auto handle_of = [&] {
    const size_t index = next++;
    return view ? builder_.view(*inputs[0].symbol.handle(), emitted, index, values[index])
                : builder_.own(values[index]);
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].isTensor()) {
      bind(node->outputs()[i], outputs[i], handle_of());
      continue;
    }
    std::vector<Symbol> items;
    for (size_t k = 0; outputs[i].isTensorList() && k < outputs[i].toTensorVector().size(); ++k) {
      items.push_back(handle_of());
    }
    bind(node->outputs()[i], outputs[i],
         items.empty() ? constant_symbol(outputs[i], "") : list_symbol(items));
  }
}

Output Interpreter::output_of(const IValue& concrete, const Symbol& symbol) {
  Output output;
  if (symbol.handle() != nullptr) {
    output.value = builder_.read(*symbol.handle());
    return output;
  }
  if (symbol.expr() != nullptr) {
    output.kind = Output::Kind::kNumber;
    output.number = *symbol.expr();
    return output;
  }
  if (concrete.isNone()) {
    output.kind = Output::Kind::kNone;
    return output;
  }
  if (symbol.list() == nullptr)
    throw Error("the network returns something that is no tensor", {},
                "tensors, tuples, lists or dicts of tensors");
  const auto& items = (*symbol.list())->items;
  std::vector<IValue> values;
  if (concrete.isTuple()) {
    output.kind = Output::Kind::kTuple;
    values = concrete.toTupleRef().elements().vec();
    const auto type = concrete.type()->cast<c10::TupleType>();
    if (type && type->name()) {
      output.type_name = type->name()->qualifiedName();
      for (const auto& argument : type->schema()->arguments())
        output.keys.push_back(argument.name());
    }
  } else if (concrete.isGenericDict()) {
    output.kind = Output::Kind::kDict;
    for (const auto& entry : concrete.toGenericDict()) {
      output.keys.push_back(entry.key().toStringRef());
      values.push_back(entry.value());
    }
  } else {
    output.kind = Output::Kind::kList;
    values = concrete.toListRef().vec();
  }
  for (size_t i = 0; i < items.size(); ++i) output.items.push_back(output_of(values[i], items[i]));
  return output;
}

}  // namespace cpd::import
