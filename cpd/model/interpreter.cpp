#include <ATen/core/grad_mode.h>
#include <ATen/core/jit_type.h>
#include <cpd/core/error.h>
#include <cpd/model/argument.h>
#include <cpd/model/interpreter.h>
#include <cpd/model/python_ops.h>
#include <cpd/model/source_position.h>
#include <cpd/model/tensor_ops.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>

namespace cpd {
namespace {

namespace jit = torch::jit;
namespace prim = c10::prim;
namespace attr = c10::attr;

/// The values of one call of a function.
struct Frame {
  const Frame* caller = nullptr;
  const jit::Node* call = nullptr;  ///< the node of the caller
  std::string scope;
  std::unordered_map<const jit::Value*, Symbol> values;

  const Symbol& at(const jit::Value* value) const { return values.at(value); }
};

bool raises(const jit::Block* block) {
  for (const jit::Node* node : block->nodes()) {
    if (node->kind() == prim::RaiseException) return true;
  }
  return false;
}

/// Does a block only name values?
bool is_constant(const jit::Block* block) {
  return std::all_of(block->nodes().begin(), block->nodes().end(), [](const jit::Node* node) {
    return node->kind() == prim::Constant || node->kind() == prim::GetAttr;
  });
}

/// Does a number depend on whether the network trains?
bool follows_mode(const Expr& number) {
  if (number.kind() == Expr::Kind::kTraining) return true;
  if (number.kind() != Expr::Kind::kCall) return false;
  return std::any_of(number.operands().begin(), number.operands().end(), follows_mode);
}

/// Operators that read properties of tensors, not their data.
bool reads_no_data(const std::string& name) {
  static const std::set<std::string> names = {"aten::dim",           "aten::is_floating_point",
                                              "aten::is_complex",    "aten::stride",
                                              "aten::is_contiguous", "aten::storage_offset",
                                              "aten::get_device",    "aten::element_size",
                                              "aten::is_same_size",  "aten::result_type",
                                              "aten::can_cast",      "aten::is_signed",
                                              "aten::is_inference",  "aten::is_conj",
                                              "aten::is_neg",        "aten::is_leaf",
                                              "aten::len",           "aten::__is__",
                                              "aten::__isnot__",     "aten::size",
                                              "aten::numel",         "aten::is_pinned",
                                              "aten::format",        "aten::ndimension"};
  return name.rfind("prim::", 0) == 0 || names.count(name) > 0;
}

bool holds_tensor(const c10::TypePtr& type) {
  if (type->isSubtypeOf(*c10::TensorType::get())) return true;
  const auto list = type->cast<c10::ListType>();
  return list && list->getElementType()->isSubtypeOf(*c10::TensorType::get());
}

bool returns_tensor(const c10::FunctionSchema& schema) {
  for (const c10::Argument& result : schema.returns()) {
    if (holds_tensor(result.type())) return true;
  }
  return false;
}

/// TorchScript's own overloads for lists without absent tensors (`index.Tensor_hacked_twin`) stand
/// for the operator's; nothing for other overloads.
std::optional<c10::OperatorHandle> without_hacked_twin(const c10::FunctionSchema& schema) {
  std::string overload = schema.overload_name();
  const size_t at = overload.find("hacked_twin");
  if (at == std::string::npos) return std::nullopt;
  overload = overload.substr(0, at > 0 ? at - 1 : 0);
  return c10::Dispatcher::singleton().findSchema({schema.name(), overload});
}

bool is_converter(const std::string& name) {
  return name == "aten::to" || name == "prim::data" || name == "aten::cpu" || name == "aten::cuda";
}

const char* reading_function(const std::string& name) {
  static const std::map<std::string, const char*> names = {
      {"aten::item", ""},           {"aten::Int", "int"},        {"aten::IntImplicit", "int"},
      {"aten::Float", "float"},     {"aten::Bool", "bool"},      {"aten::FloatImplicit", "float"},
      {"aten::is_nonzero", "bool"}, {"aten::ScalarImplicit", ""}};
  const auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

}  // namespace

struct Interpreter::State {
  Recorder& recorder;
  const jit::Module& module;
  std::unordered_map<const void*, std::string> paths;  ///< of module objects
  std::map<std::pair<const void*, std::string>, Symbol> attributes;
  std::unordered_map<const jit::Node*, std::optional<SourcePosition>> positions;
  std::unordered_map<const jit::Block*,
                     std::unordered_map<const jit::Node*, std::vector<const jit::Value*>>>
      releases;

  State(Recorder& recorder_in, const jit::Module& module_in)
      : recorder(recorder_in), module(module_in) {
    name_paths(module, "");
  }

  void name_paths(const jit::Module& owner, const std::string& path) {
    paths.emplace(owner._ivalue().get(), path);
    const auto type = owner.type();
    for (size_t i = 0; i < type->numAttributes(); i++) {
      if (!type->getAttribute(i)->is_module()) continue;
      const std::string name = type->getAttributeName(i);
      name_paths(jit::Module(owner._ivalue()->getSlot(i).toObject()),
                 path.empty() ? name : path + "." + name);
    }
  }

  // Places

  const std::optional<SourcePosition>& position_of(const jit::Node* node) {
    const auto found = positions.find(node);
    if (found != positions.end()) return found->second;
    return positions.emplace(node, source_position(node->sourceRange())).first->second;
  }

  void enter(const Frame& frame, const jit::Node* node) {
    SourceLine line;
    const jit::Node* at = node;
    for (const Frame* level = &frame; level != nullptr && at != nullptr; level = level->caller) {
      const auto& position = position_of(at);
      if (position && (position->is_user || line.file.empty())) line = position->line;
      if (position && position->is_user) break;
      at = level->call;
    }
    recorder.set_place({line, frame.scope});
  }

  // Control flow

  Symbol call(jit::Function& function, Symbols args, const Frame* caller, const jit::Node* node,
              const std::string& scope) {
    auto* graph_function = jit::tryToGraphFunction(function);
    if (!graph_function) {
      recorder.fail("the function " + function.qualname().qualifiedName() + " has no graph");
    }
    const auto graph = graph_function->graph();
    Frame frame{caller, node, scope, {}};
    const auto& arguments = function.getSchema().arguments();
    for (size_t i = 0; i < graph->inputs().size(); i++) {
      if (i >= args.size()) {
        if (i >= arguments.size() || !arguments[i].default_value()) {
          recorder.fail("there is no value for argument `" +
                        (i < arguments.size() ? arguments[i].name() : std::to_string(i)) + "`");
        }
        args.push_back(recorder.symbol_of(*arguments[i].default_value()));
      }
      frame.values[graph->inputs()[i]] = args[i];
    }
    block(frame, graph->block());
    return frame.at(graph->outputs().at(0));
  }

  /// Values of a block by the node after which nothing of the block reads them any more.
  const std::unordered_map<const jit::Node*, std::vector<const jit::Value*>>& releases_of(
      const jit::Block* block) {
    const auto [found, is_new] = releases.try_emplace(block);
    if (!is_new) return found->second;
    const auto add = [&](const jit::Value* value) {
      const jit::Node* last = nullptr;
      for (const jit::Use& use : value->uses()) {
        const jit::Node* user = use.user;
        while (user->owningBlock() != block) user = user->owningBlock()->owningNode();
        if (user == block->return_node()) return;
        if (!last || user->isAfter(last)) last = user;
      }
      if (last) found->second[last].push_back(value);
    };
    for (const jit::Value* value : block->inputs()) add(value);
    for (const jit::Node* node : block->nodes()) {
      for (const jit::Value* value : node->outputs()) add(value);
    }
    return found->second;
  }

  void block(Frame& frame, const jit::Block* block) {
    const auto& last = releases_of(block);
    for (const jit::Node* each : block->nodes()) {
      node(frame, each);
      const auto found = last.find(each);
      if (found == last.end()) continue;
      for (const jit::Value* value : found->second) frame.values.erase(value);
    }
  }

  bool condition(const Frame& frame, const jit::Node* node, const Symbol& symbol, bool is_check) {
    const auto* number = symbol.number();
    if (!number) recorder.fail("a condition is no boolean", node->kind().toQualString());
    if (number->poison && !is_check) {
      enter(frame, node);
      recorder.fail("the network branches on a number that " + number->poison->op +
                        " read from the data of a tensor",
                    node->kind().toQualString(),
                    "control flow that does not depend on the values of inputs");
    }
    return number->expr.dense_bool();
  }

  /// Branches of PyTorch's own layers choose between forms of one computation.
  void note_mode(const jit::Node* node) {
    const auto& position = position_of(node);
    if (!position || !position->is_user) return;
    recorder.note("the network branches on its training flag (" + position->line.text() +
                  "): the export takes the way of evaluation while it trains too");
  }

  /// `a if training else b` of two numbers follows the mode.
  bool choose_number(Frame& frame, const jit::Node* node, const Expr& condition) {
    std::array<const NumberSymbol*, 2> ways{};
    for (size_t i = 0; i < 2; i++) {
      const jit::Block* way = node->blocks()[i];
      if (!is_constant(way) || way->outputs().size() != 1) return false;
      block(frame, way);
      ways.at(i) = frame.at(way->outputs()[0]).number();
    }
    const auto real = [](const NumberSymbol* number) {
      return number && !number->poison && std::holds_alternative<double>(number->expr.dense());
    };
    if (!real(ways[0]) || !real(ways[1])) return false;
    const auto share = [](const NumberSymbol& number, const Expr& taken) {
      return Expr::call("mul", {number.expr, Expr::call("float", {taken})});
    };
    const Expr otherwise = Expr::call("not", {condition});
    frame.values[node->output()] =
        Symbol(Expr::call("add", {share(*ways[0], condition), share(*ways[1], otherwise)}));
    return true;
  }

  void branch(Frame& frame, const jit::Node* node) {
    const auto* number = frame.at(node->input()).number();
    const bool by_mode = number && follows_mode(number->expr);
    if (by_mode && choose_number(frame, node, number->expr)) return;
    const bool is_check = raises(node->blocks()[0]) || raises(node->blocks()[1]);
    const bool taken = condition(frame, node, frame.at(node->input()), is_check);
    if (by_mode && !is_check) note_mode(node);
    const jit::Block* inner = node->blocks()[taken ? 0 : 1];
    block(frame, inner);
    for (size_t i = 0; i < node->outputs().size(); i++) {
      frame.values[node->outputs()[i]] = frame.at(inner->outputs()[i]);
    }
  }

  void loop(Frame& frame, const jit::Node* node) {
    const jit::Block* inner = node->blocks()[0];
    Symbols carried;
    for (size_t i = 2; i < node->inputs().size(); i++)
      carried.push_back(frame.at(node->inputs()[i]));
    const auto* trips = frame.at(node->inputs()[0]).number();
    if (!trips || trips->poison) {
      recorder.fail("the number of rounds of a loop depends on the data of a tensor",
                    node->kind().toQualString(), "a number that depends on sizes only");
    }
    const int64_t limit = trips->expr.dense_int();
    bool goes_on = condition(frame, node, frame.at(node->inputs()[1]), false);
    for (int64_t round = 0; round < limit && goes_on; round++) {
      frame.values[inner->inputs()[0]] = Symbol::integer(round);
      for (size_t i = 0; i < carried.size(); i++) frame.values[inner->inputs()[i + 1]] = carried[i];
      block(frame, inner);
      goes_on = condition(frame, node, frame.at(inner->outputs()[0]), false);
      for (size_t i = 0; i < carried.size(); i++) carried[i] = frame.at(inner->outputs()[i + 1]);
    }
    for (size_t i = 0; i < carried.size(); i++) frame.values[node->outputs()[i]] = carried[i];
  }

  // Objects

  c10::intrusive_ptr<c10::ivalue::Object> object(const Symbol& symbol) {
    const auto* constant = symbol.constant();
    if (!constant || !constant->isObject())
      recorder.fail(
          "an attribute of something else than "
          "an object is used");
    return constant->toObject();
  }

  std::string path_of(const c10::ivalue::Object& owner, const std::string& name) {
    const auto found = paths.find(&owner);
    if (found == paths.end()) return "";
    return found->second.empty() ? name : found->second + "." + name;
  }

  Symbol get_attribute(const Symbol& symbol, const std::string& name) {
    const auto owner = object(symbol);
    if (name == "training" && owner->type()->is_module()) return Symbol(Expr::training());
    const auto key = std::make_pair(static_cast<const void*>(owner.get()), name);
    const auto found = attributes.find(key);
    if (found != attributes.end()) return found->second;
    recorder.known.clear();
    const Symbol value = recorder.symbol_of(owner->getAttr(name), {}, path_of(*owner, name));
    attributes.emplace(key, value);
    return value;
  }

  void set_attribute(const Symbol& symbol, const std::string& name, const Symbol& value) {
    const auto owner = object(symbol);
    attributes[{owner.get(), name}] = value;
    if (owner->type()->is_module()) {
      recorder.note("the assignment to " + path_of(*owner, name) +
                    " during the forward pass is not kept");
    }
  }

  Symbol call_method(Frame& frame, const jit::Node* node, Symbols args) {
    const auto owner = object(args.at(0));
    auto* function = owner->type()->findMethod(node->s(attr::name));
    if (!function) {
      recorder.fail("there is no method `" + node->s(attr::name) + "`", "prim::CallMethod");
    }
    const auto path = paths.find(owner.get());
    return call(*function, std::move(args), &frame, node,
                path == paths.end() ? frame.scope : path->second);
  }

  Symbol call_function(Frame& frame, const jit::Node* node, Symbols args) {
    auto* function = node->input(0)->type()->expectRef<c10::FunctionType>().function();
    args.erase(args.begin());
    return call(*function, std::move(args), &frame, node, frame.scope);
  }

  // Nodes

  std::optional<Symbol> constant(const jit::Node* node) {
    if (node->output()->type()->kind() == c10::TypeKind::FunctionType) return std::nullopt;
    const auto value = jit::toIValue(node->output());
    if (!value) return std::nullopt;
    recorder.known.clear();
    return recorder.symbol_of(*value);
  }

  Symbol make_dict(const jit::Node* node, const Symbols& args) {
    const auto& type = node->output()->type()->expectRef<c10::DictType>();
    auto dict = std::make_shared<DictSymbol>();
    dict->key = type.getKeyType();
    dict->value = type.getValueType();
    for (size_t i = 0; i < args.size(); i += 2) dict->items.emplace_back(args[i], args[i + 1]);
    return Symbol(std::move(dict));
  }

  Symbol is_instance(const jit::Node* node, const Symbol& symbol) {
    const c10::TypePtr type = concrete_of(symbol).type();
    for (const c10::TypePtr& wanted : node->tys(attr::types)) {
      if (type->isSubtypeOf(*wanted)) return Symbol::boolean(true);
    }
    return Symbol::boolean(false);
  }

  Symbols tuple_items(const Symbol& symbol) {
    if (const auto* tuple = symbol.tuple()) return tuple->items;
    if (const auto* list = symbol.list()) return list->items;
    recorder.fail("something else than a tuple is taken apart");
  }

  Symbol tuple_item(const Symbols& args) {
    const Symbols items = tuple_items(args.at(0));
    const int64_t index = args.at(1).number()->expr.dense_int();
    return items.at(
        static_cast<size_t>(index < 0 ? index + static_cast<int64_t>(items.size()) : index));
  }

  Symbol create_object(const jit::Node* node) {
    const auto type = node->output()->type()->expect<c10::ClassType>();
    return Symbol(c10::IValue(c10::ivalue::Object::create(
        c10::StrongTypePtr(module._ivalue()->compilation_unit(), type), type->numAttributes())));
  }

  /// What Python's own structure nodes return; nothing if the node is an operator.
  std::optional<Symbols> structure(Frame& frame, const jit::Node* node, const Symbols& args) {
    switch (node->kind()) {
      case prim::GetAttr:
        return Symbols{get_attribute(args.at(0), node->s(attr::name))};
      case prim::SetAttr:
        set_attribute(args.at(0), node->s(attr::name), args.at(1));
        return Symbols{};
      case prim::CallMethod:
        return Symbols{call_method(frame, node, args)};
      case prim::CallFunction:
        return Symbols{call_function(frame, node, args)};
      case prim::ListConstruct:
        return Symbols{
            make_list(node->output()->type()->expectRef<c10::ListType>().getElementType(), args)};
      case prim::TupleConstruct:
        return Symbols{make_tuple(node->output()->type(), args)};
      case prim::DictConstruct:
        return Symbols{make_dict(node, args)};
      case prim::ListUnpack:
      case prim::TupleUnpack:
        return tuple_items(args.at(0));
      case prim::TupleIndex:
        return Symbols{tuple_item(args)};
      case prim::TupleSlice: {
        const Symbols items = tuple_items(args.at(0));
        return Symbols{make_tuple(
            node->output()->type(),
            Symbols(items.begin() + node->i(attr::beg), items.begin() + node->i(attr::end)))};
      }
      case prim::Uninitialized:
        return Symbols{Symbol()};
      case prim::unchecked_cast:
      case prim::unchecked_unwrap_optional:
        return Symbols{args.at(0)};
      case prim::isinstance:
        return Symbols{is_instance(node, args.at(0))};
      case prim::CreateObject:
        return Symbols{create_object(node)};
      case prim::Print:
      case prim::Exit:
      case c10::aten::warn:
        return Symbols(node->outputs().size());
      case prim::Enter:
        return Symbols(node->outputs().size());
      case prim::RaiseException:
        recorder.fail("the network raises: " + (args.empty() ? "" : text_of(args[0])), "",
                      "inputs that it accepts");
      default:
        return std::nullopt;
    }
  }

  static std::string text_of(const Symbol& symbol) {
    const c10::IValue value = concrete_of(symbol);
    return value.isString() ? value.toStringRef() : value.tagKind();
  }

  void node(Frame& frame, const jit::Node* node) {
    if (node->kind() == prim::If) return branch(frame, node);
    if (node->kind() == prim::Loop) return loop(frame, node);
    if (node->kind() == prim::Constant) {
      if (const auto value = constant(node)) frame.values[node->output()] = *value;
      return;
    }
    Symbols args;
    for (const jit::Value* input : node->inputs()) {
      const auto found = frame.values.find(input);
      args.push_back(found == frame.values.end() ? Symbol() : found->second);
    }
    enter(frame, node);
    auto results = structure(frame, node, args);
    if (!results) results = builtin(node, args);
    for (size_t i = 0; i < node->outputs().size(); i++) {
      frame.values[node->outputs()[i]] = results->at(i);
    }
  }

  // Operators

  Symbols builtin(const jit::Node* node, const Symbols& args) {
    const c10::FunctionSchema* schema = node->maybeSchema();
    if (!schema) {
      recorder.fail("the construct is not supported", node->kind().toQualString(),
                    "tensor operators, arithmetic and containers");
    }
    if (auto results = run_container_op(recorder, *schema, args)) return *results;
    if (auto result = properties(*schema, args)) return {*result};
    if (auto result = number_tensors(node, *schema, args)) return {*result};
    const bool known = c10::Dispatcher::singleton()
                           .findSchema({schema->name(), schema->overload_name()})
                           .has_value();
    if (const auto twin = without_hacked_twin(*schema)) {
      return run_tensor_op(recorder, twin->schema(), args);
    }
    if (returns_tensor(*schema) && (known || is_converter(schema->name()))) {
      return run_tensor_op(recorder, *schema, args);
    }
    return plain(node, *schema, args);
  }

  Symbol read(const Handle& handle, const std::string& name, const std::string& function) {
    if (handle.number) {
      return Symbol(function.empty() ? *handle.number : Expr::call(function, {*handle.number}));
    }
    Number value = handle.concrete.scalar_type() == at::kBool ? Number(handle.concrete.item<bool>())
                   : at::isIntegralType(handle.concrete.scalar_type(), false)
                       ? Number(handle.concrete.item<int64_t>())
                       : Number(handle.concrete.item<double>());
    Expr expr = Expr::constant(value);
    if (!function.empty()) expr = Expr::call(function, {expr});
    std::shared_ptr<const Poison> poison;
    if (!handle.memory || handle.memory->data_dependent) {
      poison = std::make_shared<Poison>(Poison{name, recorder.place().where.text()});
    }
    return Symbol(NumberSymbol{expr, poison});
  }

  /// Sizes and numbers of tensors.
  std::optional<Symbol> properties(const c10::FunctionSchema& schema, const Symbols& args) {
    const HandlePtr handle = args.empty() ? nullptr : args[0].tensor();
    const std::string& name = schema.name();
    if (name == "aten::is_grad_enabled") return Symbol::boolean(true);
    if (!handle) return std::nullopt;
    if (name == "aten::size" && args.size() == 1) return recorder.sizes(handle);
    if (name == "aten::size")
      return Symbol(recorder.size(handle, args[1].number()->expr.dense_int()));
    if (name == "aten::len") return Symbol(recorder.size(handle, 0));
    if (name == "prim::requires_grad") return Symbol::boolean(handle->requires_grad);
    if (name == "aten::numel") {
      Expr product = Expr::constant(int64_t{1});
      for (int64_t dim = 0; dim < handle->concrete.dim(); dim++) {
        product = Expr::call("mul", {product, recorder.size(handle, dim)});
      }
      return Symbol(product);
    }
    const char* function = reading_function(name);
    if (function && handle->concrete.numel() == 1) return read(*handle, name, function);
    return std::nullopt;
  }

  /// Tensors made of numbers.
  std::optional<Symbol> number_tensors(const jit::Node* node, const c10::FunctionSchema& schema,
                                       const Symbols& args) {
    const std::string& name = schema.name();
    if (name != "prim::NumToTensor" && name != "aten::tensor" && name != "aten::as_tensor" &&
        name != "aten::scalar_tensor") {
      return std::nullopt;
    }
    if (args[0].tensor()) return std::nullopt;
    if (const auto poison = poison_of(args)) {
      recorder.fail(
          "a tensor is made of a number that " + poison->op + " read from the data of a tensor",
          name);
    }
    const at::Tensor concrete = run_plainly(node, args).at(0).toTensor();
    if (const auto* number = args[0].number()) {
      return recorder.number_tensor(number->expr, concrete);
    }
    bool varies = false;
    for_each_leaf(args[0], [&varies](const Symbol& leaf) {
      varies |= leaf.tensor() || (leaf.number() && !leaf.number()->expr.is_constant());
    });
    const auto* list = args[0].list();
    if (!varies || !list || concrete.dim() != 1) return recorder.table_tensor(concrete, "");
    Symbols items;
    for (size_t i = 0; i < list->items.size(); i++) {
      const auto* number = list->items[i].number();
      if (!number) recorder.fail("a tensor is made of a list of tensors", name, "numbers");
      items.push_back(recorder.number_tensor(number->expr, concrete[static_cast<int64_t>(i)]));
    }
    return recorder.call1("aten::stack", "", {make_list(c10::TensorType::get(), items)});
  }

  std::vector<c10::IValue> run_plainly(const jit::Node* node, const Symbols& args) {
    std::vector<c10::IValue> stack;
    for (size_t i = 0; i < args.size(); i++) {
      stack.push_back(concrete_of(args[i], *node->input(i)->type()));
    }
    const c10::AutoGradMode no_grad(false);
    try {
      if (node->getOperator().schema().is_vararg()) {
        stack.emplace_back(static_cast<int64_t>(args.size()));
      }
      node->getOperation()(stack);
    } catch (const std::exception& error) {
      const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
      recorder.fail(
          "the network raises: " +
              first_line(torch_error ? torch_error->what_without_backtrace() : error.what()),
          node->kind().toQualString());
    }
    return stack;
  }

  /// An operator that makes no tensors: run as it is; numbers stay expressions where they can.
  Symbols plain(const jit::Node* node, const c10::FunctionSchema& schema, const Symbols& args) {
    for (const c10::Argument& argument : schema.arguments()) {
      if (!argument.alias_info() || !argument.alias_info()->isWrite()) continue;
      recorder.fail("the operator changes a container in a way that cpd does not know",
                    schema.name());
    }
    const auto stack = run_plainly(node, args);
    if (stack.size() == 1) {
      if (auto result = run_number_op(schema, args, stack[0])) return {*result};
    }
    auto poison = poison_of(args);
    recorder.known.clear();
    bool data = false;
    for (const Symbol& arg : args) {
      for_each_leaf(arg, [&](const Symbol& leaf) {
        if (!leaf.tensor()) return;
        recorder.known.push_back(leaf.tensor());
        data |= leaf.tensor()->memory && leaf.tensor()->memory->data_dependent;
      });
    }
    if (data && !poison && !reads_no_data(schema.name())) {
      poison = std::make_shared<Poison>(Poison{schema.name(), recorder.place().where.text()});
    }
    Symbols results;
    for (const c10::IValue& value : stack) {
      if (data && value.isTensor()) {
        recorder.fail(
            "the operator makes a tensor of the data of tensors in a way that cpd does not know",
            schema.name());
      }
      results.push_back(recorder.symbol_of(value, poison));
    }
    recorder.known.clear();
    return results;
  }
};

Interpreter::Interpreter(Recorder& recorder, const torch::jit::Module& module)
    : state_(std::make_unique<State>(recorder, module)) {}
Interpreter::~Interpreter() = default;

Symbol Interpreter::run(Symbols inputs) {
  const auto method = state_->module.find_method("forward");
  if (!method) throw Error("the module has no method `forward`");
  Symbols args = {Symbol(c10::IValue(state_->module._ivalue()))};
  args.insert(args.end(), inputs.begin(), inputs.end());
  return state_->call(method->function(), std::move(args), nullptr, nullptr, "");
}

}  // namespace cpd
