#include <ATen/core/dispatch/Dispatcher.h>
#include <cpd/core/error.h>
#include <cpd/exporters/graph_writer_internal.h>
#include <cpd/model/argument.h>
#include <cpd/model/scalar_type.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include <algorithm>
#include <cctype>

namespace cpd::exporters {
namespace {

namespace prim = c10::prim;
namespace aten = c10::aten;
using c10::Symbol;

/// Lists of indices up to this length are written out; longer ones are stored as tensors.
constexpr int64_t kLongestList = 1 << 14;

Where where_of(const Op& op) {
  return {op.kind + (op.overload.empty() ? "" : "." + op.overload), op.where.text(), {}};
}

c10::TypePtr without_optional(const c10::TypePtr& type) {
  const auto optional = type->cast<c10::OptionalType>();
  return optional ? optional->getElementType() : type;
}

c10::TypePtr element_of(const c10::TypePtr& type) {
  const auto list = type->cast<c10::ListType>();
  return list ? list->getElementType() : type;
}

Symbol symbol_of(const std::string& function) {
  static const std::map<std::string, std::string> irregular = {
      {"min", "prim::min"},     {"max", "prim::max"},     {"int", "aten::Int"},
      {"float", "aten::Float"}, {"bool", "aten::Bool"},   {"and", "aten::__and__"},
      {"or", "aten::__or__"},   {"not", "aten::__not__"},
  };
  const auto found = irregular.find(function);
  return Symbol::fromQualString(found == irregular.end() ? "aten::" + function : found->second);
}

bool is_constant(const std::vector<Expr>& exprs) {
  return std::all_of(exprs.begin(), exprs.end(), [](const Expr& e) { return e.is_constant(); });
}

bool is_identifier(const std::string& name) {
  const auto letter = [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
  };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return letter(c) || std::isdigit(static_cast<unsigned char>(c));
  });
}

std::pair<std::string, std::string> split_path(const std::string& path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string::npos) return {"", path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

torch::jit::SourceRange range_of(const SourceLine& line) {
  auto source = std::make_shared<torch::jit::Source>("", line.file,
                                                     static_cast<size_t>(std::max(line.line, 0)));
  return {std::move(source), 0, 0};
}

const c10::FunctionSchema& schema_of(const Op& op) {
  const auto handle = c10::Dispatcher::singleton().findSchema({op.kind, op.overload});
  if (!handle) throw Error("LibTorch has no such operator", where_of(op));
  if (handle->schema().arguments().size() != op.args.size()) {
    throw Error("the op has " + std::to_string(op.args.size()) + " arguments", where_of(op),
                std::to_string(handle->schema().arguments().size()) + ", as its schema says");
  }
  return handle->schema();
}

/// LibTorch picks the overload by the types of the inputs: it has to be the one meant.
void check_overload(torch::jit::Node* node, const Op& op) {
  const auto* schema = node->maybeSchema();
  if (schema != nullptr && schema->overload_name() == op.overload) return;
  throw Error("the op cannot be written as TorchScript: its arguments fit " +
                  (schema == nullptr ? std::string("no overload")
                                     : "the overload '" + schema->overload_name() + "'"),
              where_of(op));
}

}  // namespace

std::pair<torch::jit::Module, int> find_attribute(const torch::jit::Module& root,
                                                  const std::string& path) {
  torch::jit::Module module = root;
  std::string rest = path;
  while (true) {
    const size_t dot = rest.find('.');
    const std::string head = rest.substr(0, dot);
    const auto slot = module.type()->findAttributeSlot(head);
    if (!slot) return {module, -1};
    if (dot == std::string::npos) return {module, static_cast<int>(*slot)};
    if (!module.type()->getAttribute(*slot)->is_module()) return {module, -1};
    module = module.attr(head).toModule();
    rest = rest.substr(dot + 1);
  }
}

std::vector<std::string> batch_counters(const Model& model) {
  std::vector<std::string> names;
  for (const Op& op : model.graph.ops) {
    if (op.find("running_mean") == nullptr || !op.has("running_mean")) continue;
    const Parameter* mean = nullptr;
    for (const auto& entry : model.parameters) {
      if (entry.value == op.tensor("running_mean")) mean = &entry;
    }
    if (mean == nullptr) continue;
    const std::string owner = split_path(mean->name).first;
    const std::string name = (owner.empty() ? "" : owner + ".") + "num_batches_tracked";
    const Parameter* counter = model.find(name);
    const bool counts = counter != nullptr && counter->role == ParameterRole::kBuffer;
    if (counts && counter->tensor.scalar_type() == at::kLong) names.push_back(name);
  }
  return names;
}

GraphWriter::GraphWriter(const Model& model, const torch::jit::Module& root)
    : model_(model),
      root_(root),
      graph_(std::make_shared<torch::jit::Graph>()),
      table_(model.graph.values.size(), nullptr),
      values_(model.graph.values.size(), nullptr) {
  for (const auto& entry : model.parameters) {
    if (entry.value >= 0) table_[static_cast<size_t>(entry.value)] = &entry;
  }
}

std::shared_ptr<torch::jit::Graph> GraphWriter::write() {
  write_inputs();
  write_counters();
  for (const Op& op : model_.graph.ops) write_op(op);
  graph_->registerOutput(output(model_.graph.output));
  graph_->lint();
  torch::jit::EliminateDeadCode(graph_);
  torch::jit::ConstantPooling(graph_);
  graph_->lint();
  return graph_;
}

void GraphWriter::write_inputs() {
  modules_[""] = graph_->addInput("self")->setType(root_.type());
  for (ValueId input : model_.graph.inputs) {
    const std::string& name = model_.graph.value(input).name;
    JitValue* value = graph_->addInput(is_identifier(name) ? name : "");
    values_[static_cast<size_t>(input)] = value->setType(c10::TensorType::get());
  }
}

/// `if self.training:` every counter grows by one.
void GraphWriter::write_counters() {
  const auto counters = batch_counters(model_);
  if (counters.empty() || !root_.type()->hasAttribute("training")) return;
  std::vector<JitValue*> tensors;
  for (const auto& name : counters) tensors.push_back(read_attribute(name));
  Node* choice = graph_->insertNode(graph_->create(prim::If, {training()}, 0));
  torch::jit::Block* block = choice->addBlock();
  choice->addBlock();
  const torch::jit::WithInsertPoint in_block(block);
  for (JitValue* counter : tensors) graph_->insert(aten::add_, {counter, int64_t{1}});
}

void GraphWriter::write_op(const Op& op) {
  const auto& schema = schema_of(op);
  std::vector<JitValue*> inputs;
  for (size_t i = 0; i < op.args.size(); ++i) {
    const auto& type = schema.arguments()[i].type();
    inputs.push_back(follows_input(op, op.args[i]) ? dtype() : argument(op.args[i].value, type));
  }
  Node* node = graph_->create(Symbol::fromQualString(op.kind), inputs, schema.returns().size());
  if (!op.where.file.empty()) node->setSourceRange(range_of(op.where));
  graph_->insertNode(node);
  check_overload(node, op);
  unpack(node, op, schema);
}

void GraphWriter::unpack(Node* node, const Op& op, const c10::FunctionSchema& schema) {
  size_t next = 0;
  const auto store = [&](JitValue* value) {
    if (next < op.outputs.size()) values_[static_cast<size_t>(op.outputs[next])] = value;
    ++next;
  };
  for (size_t i = 0; i < schema.returns().size(); ++i) {
    const auto& type = schema.returns()[i].type();
    JitValue* output = node->outputs()[i];
    output->setType(type);
    if (type->isSubtypeOf(*c10::TensorType::get())) {
      store(output);
    } else if (type->isSubtypeOf(*c10::ListType::ofTensors())) {
      const size_t count = op.outputs.size() - next;
      Node* list = graph_->insertNode(graph_->createListUnpack(output, count));
      for (JitValue* item : list->outputs()) store(item);
    }
  }
  if (next != op.outputs.size()) {
    throw Error("the op returns " + std::to_string(next) + " tensors", where_of(op),
                std::to_string(op.outputs.size()));
  }
}

GraphWriter::JitValue* GraphWriter::tensor(ValueId value) {
  JitValue*& known = values_.at(static_cast<size_t>(value));
  if (known != nullptr) return known;
  const Parameter* entry = table_[static_cast<size_t>(value)];
  if (entry == nullptr) {
    throw Error("%" + std::to_string(value) + " is read before anything has made it");
  }
  const bool attribute = find_attribute(root_, entry->name).second >= 0;
  return known = attribute ? read_attribute(entry->name) : constant_tensor(entry->tensor);
}

GraphWriter::JitValue* GraphWriter::module_at(const std::string& path) {
  JitValue*& known = modules_[path];
  if (known == nullptr) {
    const auto [owner, name] = split_path(path);
    JitValue* object = module_at(owner);
    known = graph_->insertGetAttr(object, name);
  }
  return known;
}

GraphWriter::JitValue* GraphWriter::read_attribute(const std::string& path) {
  const auto [owner, name] = split_path(path);
  JitValue* value = graph_->insertGetAttr(module_at(owner), name);
  if (value->type()->kind() != c10::TypeKind::OptionalType) return value;
  return graph_->insertUncheckedCast(value, c10::TensorType::get());
}

/// Constants live where the input lives, so that the module can be moved.
GraphWriter::JitValue* GraphWriter::constant_tensor(const at::Tensor& tensor) {
  if (tensor.dim() == 0) return graph_->insertConstant(tensor.detach());
  const bool list = tensor.dim() == 1 && tensor.scalar_type() == at::kLong;
  if (list && tensor.numel() <= kLongestList) {
    const at::Tensor host = tensor.detach().cpu().contiguous();
    c10::List<int64_t> items;
    for (int64_t i = 0; i < host.numel(); ++i) items.push_back(host.const_data_ptr<int64_t>()[i]);
    return graph_->insert(aten::tensor, {graph_->insertConstant(items)},
                          {{"dtype", static_cast<int64_t>(at::kLong)}, {"device", device()}});
  }
  return graph_->insert(aten::to, {graph_->insertConstant(tensor.detach().cpu()), device()});
}

GraphWriter::JitValue* GraphWriter::device() {
  if (device_ == nullptr) {
    device_ = graph_->insert(prim::device, {tensor(model_.graph.inputs.at(0))});
  }
  return device_;
}

/// Does a tensor made from nothing have the precision of the input? Then it keeps following it.
bool GraphWriter::follows_input(const Op& op, const NamedArg& arg) const {
  const auto* expr = std::get_if<Expr>(&arg.value);
  if (arg.name != "dtype" || expr == nullptr || !op.operands().empty()) return false;
  const auto type = scalar_type_of(model_.graph.value(model_.graph.inputs.at(0)).dtype);
  return at::isFloatingType(type) && expr->dense_int() == static_cast<int64_t>(type);
}

GraphWriter::JitValue* GraphWriter::dtype() {
  if (dtype_ == nullptr) {
    dtype_ = graph_->insert(prim::dtype, {tensor(model_.graph.inputs.at(0))});
  }
  return dtype_;
}

GraphWriter::JitValue* GraphWriter::training() {
  JitValue*& known = numbers_[Expr::training().text()];
  if (known == nullptr) {
    known = root_.type()->hasAttribute("training") ? graph_->insertGetAttr(modules_[""], "training")
                                                   : graph_->insertConstant(false);
  }
  return known;
}

GraphWriter::JitValue* GraphWriter::number(const Expr& expr) {
  if (expr.is_constant()) {
    return std::visit([this](auto value) { return graph_->insertConstant(value); }, expr.dense());
  }
  if (expr.kind() == Expr::Kind::kTraining) return training();
  const std::string key = expr.text();
  const auto known = numbers_.find(key);
  if (known != numbers_.end()) return known->second;
  return numbers_[key] = expr.kind() == Expr::Kind::kSize ? size_call(expr) : call(expr);
}

GraphWriter::JitValue* GraphWriter::size_call(const Expr& expr) {
  return graph_->insert(aten::size,
                        {tensor(expr.size_value()), static_cast<int64_t>(expr.size_dim())});
}

GraphWriter::JitValue* GraphWriter::call(const Expr& expr) {
  static const std::vector<std::string> logic = {"and", "or", "not", "eq", "ne", "bool"};
  const bool arithmetic = std::find(logic.begin(), logic.end(), expr.function()) == logic.end();
  std::vector<torch::jit::NamedValue> operands;
  for (const Expr& operand : expr.operands()) {
    JitValue* value = number(operand);
    if (arithmetic && value->type()->kind() == c10::TypeKind::BoolType) {
      value = graph_->insert(aten::Int, {value});
    }
    operands.emplace_back(value);
  }
  return as_type_of(graph_->insert(symbol_of(expr.function()), operands), expr.dense());
}

GraphWriter::JitValue* GraphWriter::as_type_of(JitValue* value, const Number& like) {
  const auto kind = value->type()->kind();
  if (std::holds_alternative<bool>(like)) {
    return kind == c10::TypeKind::BoolType ? value : graph_->insert(aten::Bool, {value});
  }
  if (std::holds_alternative<double>(like)) {
    return kind == c10::TypeKind::FloatType ? value : graph_->insert(aten::Float, {value});
  }
  return kind == c10::TypeKind::IntType ? value : graph_->insert(aten::Int, {value});
}

GraphWriter::JitValue* GraphWriter::argument(const Arg& arg, const c10::TypePtr& declared) {
  const auto type = without_optional(declared);
  if (std::holds_alternative<std::monostate>(arg)) return graph_->insertConstant(c10::IValue());
  if (const auto* ref = std::get_if<ValueRef>(&arg)) {
    return ref->id < 0 ? graph_->insertConstant(c10::IValue()) : tensor(ref->id);
  }
  if (const auto* refs = std::get_if<std::vector<ValueRef>>(&arg)) {
    return list_argument(*refs, type);
  }
  if (const auto* text = std::get_if<std::string>(&arg)) {
    if (type->kind() == c10::TypeKind::DeviceObjType) return device();
    return graph_->insertConstant(*text);
  }
  if (const auto* exprs = std::get_if<std::vector<Expr>>(&arg)) return list_argument(*exprs, type);
  const Expr& expr = std::get<Expr>(arg);
  if (expr.is_constant()) return graph_->insertConstant(ivalue_of(expr.dense(), *type));
  if (type->kind() == c10::TypeKind::ListType) return list_argument(std::vector<Expr>{expr}, type);
  JitValue* value = number(expr);
  if (type->kind() == c10::TypeKind::FloatType) return as_type_of(value, 0.0);
  if (type->kind() == c10::TypeKind::IntType) return as_type_of(value, int64_t{0});
  return value;
}

GraphWriter::JitValue* GraphWriter::list_argument(const std::vector<Expr>& exprs,
                                                  const c10::TypePtr& type) {
  if (is_constant(exprs)) return graph_->insertConstant(ivalue_of(Arg(exprs), *type, {}, {}));
  const auto element = element_of(type);
  std::vector<JitValue*> items;
  for (const Expr& expr : exprs) items.push_back(argument(Arg(expr), element));
  const auto written = element->kind() == c10::TypeKind::SymIntType ? c10::IntType::get() : element;
  return graph_->insertNode(graph_->createList(written, items))->output();
}

GraphWriter::JitValue* GraphWriter::list_argument(const std::vector<ValueRef>& refs,
                                                  const c10::TypePtr& type) {
  const auto element = element_of(type);
  std::vector<JitValue*> items;
  for (const ValueRef& ref : refs) {
    items.push_back(ref.id < 0 ? none(element) : tensor(ref.id));
  }
  return graph_->insertNode(graph_->createList(element, items))->output();
}

GraphWriter::JitValue* GraphWriter::none(const c10::TypePtr& type) {
  JitValue* value = graph_->insertNode(graph_->createNone())->output();
  return type->kind() == c10::TypeKind::OptionalType ? value->setType(type) : value;
}

GraphWriter::JitValue* GraphWriter::output(const Output& structure) {
  using Kind = Output::Kind;
  if (structure.kind == Kind::kTensor) return tensor(structure.value);
  if (structure.kind == Kind::kNumber) return number(structure.number);
  if (structure.kind == Kind::kNone) return none(c10::OptionalType::ofTensor());
  std::vector<JitValue*> items;
  std::vector<c10::TypePtr> types;
  for (const Output& item : structure.items) {
    items.push_back(output(item));
    types.push_back(items.back()->type());
  }
  if (structure.kind == Kind::kTuple) {
    c10::TupleTypePtr named;
    if (!structure.type_name.empty()) {
      named = c10::TupleType::createNamed(c10::QualifiedName(structure.type_name), structure.keys,
                                          types);
    }
    return graph_->insertNode(graph_->createTuple(items, named))->output();
  }
  const auto element = types.empty() ? c10::TypePtr(c10::TensorType::get()) : types.front();
  for (const auto& type : types) {
    if (*type == *element) continue;
    throw Error("the network returns a list of unlike things", {},
                "tensors, or lists of one kind of thing");
  }
  if (structure.kind == Kind::kList) {
    return graph_->insertNode(graph_->createList(element, items))->output();
  }
  std::vector<JitValue*> keys;
  for (const auto& key : structure.keys) keys.push_back(graph_->insertConstant(key));
  return graph_->insertNode(graph_->createDict(c10::StringType::get(), element, keys, items))
      ->output();
}

}  // namespace cpd::exporters
