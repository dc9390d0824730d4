#include <ATen/core/grad_mode.h>
#include <ATen/core/jit_type.h>
#include <cpd/core/error.h>
#include <cpd/model/argument.h>
#include <cpd/model/randomness.h>
#include <cpd/model/recorder.h>
#include <cpd/model/scalar_type.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <set>

namespace cpd {
namespace {

const void* identity(const at::Tensor& tensor) { return tensor.unsafeGetTensorImpl(); }

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

std::vector<HandlePtr> tensors_in(const Symbols& args) {
  std::vector<HandlePtr> handles;
  for (const Symbol& arg : args) {
    for_each_leaf(arg, [&handles](const Symbol& leaf) {
      if (auto handle = leaf.tensor()) handles.push_back(handle);
    });
  }
  return handles;
}

bool depends_on_data(const Symbols& args) {
  const auto handles = tensors_in(args);
  return std::any_of(handles.begin(), handles.end(), [](const HandlePtr& handle) {
    return handle->memory && handle->memory->data_dependent;
  });
}

bool depends_on_shape(const Symbols& args) {
  bool depends = false;
  for (const Symbol& arg : args) {
    for_each_leaf(arg, [&depends](const Symbol& leaf) {
      if (const auto* number = leaf.number()) depends |= !number->expr.is_constant();
      const auto handle = leaf.tensor();
      if (!handle) return;
      depends |= handle->memory ? handle->memory->shape_dependent
                                : handle->number && !handle->number->is_constant();
    });
  }
  return depends;
}

/// A number held by a tensor without dimensions, if it can be held by an expression.
std::optional<Expr> number_in(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.dim() != 0 || !tensor.device().is_cpu()) return std::nullopt;
  if (tensor.scalar_type() == at::kBool) return Expr::constant(tensor.item<bool>());
  if (at::isIntegralType(tensor.scalar_type(), false)) {
    return Expr::constant(tensor.item<int64_t>());
  }
  if (at::isFloatingType(tensor.scalar_type())) return Expr::constant(tensor.item<double>());
  return std::nullopt;
}

DType graph_dtype(const at::Tensor& tensor) {
  return tensor.defined() ? dtype_of(tensor.scalar_type()) : DType::kFloat32;
}

Shape shape_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.sizes().vec() : Shape();
}

std::vector<at::Tensor> tensors_on(const std::vector<c10::IValue>& stack) {
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& value : stack) {
    if (value.isTensor()) tensors.push_back(value.toTensor());
    if (!value.isTensorList()) continue;
    for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
  }
  return tensors;
}

const c10::TypePtr& element_type(const c10::Argument& argument) {
  const c10::TypePtr& type = argument.type();
  if (type->kind() == c10::TypeKind::OptionalType) {
    const c10::TypePtr& inner = type->expectRef<c10::OptionalType>().getElementType();
    if (inner->kind() == c10::TypeKind::ListType) {
      return inner->expectRef<c10::ListType>().getElementType();
    }
  }
  if (type->kind() == c10::TypeKind::ListType) {
    return type->expectRef<c10::ListType>().getElementType();
  }
  return type;
}

bool holds_tensors(const c10::TypePtr& element) {
  return element->isSubtypeOf(*c10::OptionalType::ofTensor());
}

}  // namespace

Recorder::Recorder(const torch::jit::Module& module) { read_table(module, ""); }

Recorder::~Recorder() {
  const c10::AutoGradMode no_grad(false);
  for (auto& [tensor, before] : written_) tensor.copy_(before);
}

void Recorder::fail(const std::string& problem, const std::string& op,
                    const std::string& expected) const {
  throw Error(problem, {op, place_.where.text(), {}}, expected);
}

void Recorder::note(const std::string& text) {
  if (std::find(notes_.begin(), notes_.end(), text) == notes_.end()) notes_.push_back(text);
}

void Recorder::see_fixed_training() {
  if (!fixed_training_) {
    note("the network was traced in training mode: batch norm and dropout follow its mode now");
  }
  fixed_training_ = true;
}

void Recorder::read_table(const torch::jit::Module& module, const std::string& prefix) {
  const auto type = module.type();
  for (size_t i = 0; i < type->numAttributes(); i++) {
    const c10::IValue value = module._ivalue()->getSlot(i);
    if (!value.isTensor() || !value.toTensor().defined()) continue;
    const ParameterRole role = type->is_parameter(i) ? ParameterRole::kParameter
                               : type->is_buffer(i)  ? ParameterRole::kBuffer
                                                     : ParameterRole::kConstant;
    add_entry(value.toTensor(), joined(prefix, type->getAttributeName(i)), role);
  }
  for (size_t i = 0; i < type->numAttributes(); i++) {
    if (!type->getAttribute(i)->is_module()) continue;
    const c10::IValue value = module._ivalue()->getSlot(i);
    read_table(torch::jit::Module(value.toObject()), joined(prefix, type->getAttributeName(i)));
  }
}

void Recorder::add_entry(const at::Tensor& tensor, const std::string& name, ParameterRole role) {
  const auto [found, is_new] = table_index_.emplace(identity(tensor), table_.size());
  if (is_new) {
    Parameter entry;
    entry.name = name;
    entry.role = role;
    entry.tensor = tensor;
    table_.push_back(std::move(entry));
  } else if (table_[found->second].name != name) {
    table_[found->second].aliases.push_back(name);
  }
}

HandlePtr Recorder::new_handle(const at::Tensor& concrete, ValueId value, bool data, bool shape) {
  auto handle = std::make_shared<Handle>();
  handle->concrete = concrete;
  handle->memory = std::make_shared<Memory>();
  handle->memory->current = value;
  handle->memory->data_dependent = data;
  handle->memory->shape_dependent = shape;
  handle->cached = value;
  handle->version = 0;
  return handle;
}

Symbol Recorder::add_input(const std::string& name, const at::Tensor& tensor) {
  const ValueId id = graph_.add_value(
      {name, ValueKind::kInput, dtype_of(tensor.scalar_type()), tensor.sizes().vec(), -1});
  graph_.inputs.push_back(id);
  return Symbol(new_handle(tensor, id, true, true));
}

Symbol Recorder::table_tensor(const at::Tensor& tensor, const std::string& name) {
  auto found = table_index_.find(identity(tensor));
  if (found == table_index_.end()) {
    if (const auto number = name.empty() ? number_in(tensor) : std::nullopt) {
      const Symbol symbol = number_tensor(*number, tensor);
      symbol.tensor()->is_constant = true;
      return symbol;
    }
    add_entry(tensor, name.empty() ? "CONSTANTS.c" + std::to_string(constants_++) : name,
              ParameterRole::kConstant);
    found = table_index_.find(identity(tensor));
  }
  const size_t index = found->second;
  HandlePtr& handle = table_handles_[index];
  if (!handle) {
    Parameter& entry = table_[index];
    entry.value = graph_.add_value(
        {entry.name, ValueKind::kParameter, graph_dtype(tensor), shape_of(tensor), -1});
    handle = new_handle(tensor.detach(), entry.value, false, false);
    handle->memory->parameter = static_cast<int>(index);
    handle->requires_grad = tensor.requires_grad();
    if (entry.role == ParameterRole::kConstant) handle->number = number_in(tensor);
  }
  return Symbol(handle);
}

Symbol Recorder::symbol_of(const c10::IValue& value, const std::shared_ptr<const Poison>& poison,
                           const std::string& name) {
  const auto number = [&poison](Number plain) {
    return Symbol(NumberSymbol{Expr::constant(plain), poison});
  };
  const auto all = [&](const auto& values) {
    Symbols items;
    for (const c10::IValue& item : values) items.push_back(symbol_of(item, poison));
    return items;
  };
  if (value.isInt()) return number(value.toInt());
  if (value.isBool()) return number(value.toBool());
  if (value.isDouble()) return number(value.toDouble());
  if (value.isTensor() && value.toTensor().defined()) {
    for (const HandlePtr& handle : known) {
      if (handle->concrete.is_same(value.toTensor())) return Symbol(handle);
    }
    return table_tensor(value.toTensor(), name);
  }
  if (value.isList()) return make_list(value.toList().elementType(), all(value.toListRef().vec()));
  if (value.isTuple()) return make_tuple(value.type(), all(value.toTupleRef().elements().vec()));
  if (value.isGenericDict()) {
    const auto dict = value.toGenericDict();
    auto symbol = std::make_shared<DictSymbol>();
    symbol->key = dict.keyType();
    symbol->value = dict.valueType();
    for (const auto& item : dict) {
      symbol->items.emplace_back(symbol_of(item.key()), symbol_of(item.value(), poison));
    }
    return Symbol(std::move(symbol));
  }
  return Symbol(value);
}

Symbol Recorder::number_tensor(const Expr& number, const at::Tensor& concrete) {
  auto handle = std::make_shared<Handle>();
  handle->concrete = concrete;
  handle->number = number;
  return Symbol(std::move(handle));
}

Symbol Recorder::alias(const HandlePtr& handle) {
  auto other = std::make_shared<Handle>(*handle);
  other->concrete = handle->concrete.detach();
  return Symbol(std::move(other));
}

Symbol Recorder::copy(const HandlePtr& handle, const at::Tensor& concrete) {
  if (!handle->memory) return number_tensor(*handle->number, concrete);
  auto other = new_handle(concrete, value_of(handle), handle->memory->data_dependent,
                          handle->memory->shape_dependent);
  other->requires_grad = handle->requires_grad;
  other->number = handle->number;
  return Symbol(std::move(other));
}

Expr Recorder::size(const HandlePtr& handle, int64_t dim) {
  const int64_t dense = handle->concrete.size(dim);
  if (!handle->memory || !handle->memory->shape_dependent) return Expr::constant(dense);
  const int64_t rank = handle->concrete.dim();
  return Expr::size(value_of(handle), static_cast<int>(dim < 0 ? dim + rank : dim), dense);
}

Symbol Recorder::sizes(const HandlePtr& handle) {
  Symbols items;
  for (int64_t dim = 0; dim < handle->concrete.dim(); dim++) items.emplace_back(size(handle, dim));
  return make_list(c10::IntType::get(), std::move(items));
}

ValueId Recorder::add_result(const Shape& shape, DType dtype) {
  return graph_.add_value({"", ValueKind::kResult, dtype, shape, -1});
}

ValueId Recorder::emit(Op op, const std::vector<Shape>& shapes, DType dtype, size_t wanted) {
  op.outputs.clear();
  for (const Shape& shape : shapes) op.outputs.push_back(add_result(shape, dtype));
  const ValueId value = op.outputs.at(wanted);
  op.where = place_.where;
  op.scope = place_.scope;
  graph_.add_op(std::move(op));
  return value;
}

ValueId Recorder::value_of(const HandlePtr& handle) {
  if (!handle->memory) {
    const at::Tensor tensor = handle->concrete;
    if (handle->is_constant) {
      const auto number = handle->number;
      const auto entry = table_tensor(tensor, "CONSTANTS.c" + std::to_string(constants_++));
      *handle = *entry.tensor();
      handle->number = number;
    } else {
      Op op{"aten::scalar_tensor", "", {}, {}, {}, {}};
      // TorchScript takes no boolean where a number is expected.
      const bool boolean = std::holds_alternative<bool>(handle->number->dense());
      op.args = {{"s", boolean ? Expr::call("int", {*handle->number}) : *handle->number},
                 {"dtype", Expr::constant(static_cast<int64_t>(tensor.scalar_type()))},
                 {"layout", {}},
                 {"device", {}},
                 {"pin_memory", {}}};
      const ValueId value = emit(op, {{}}, graph_dtype(tensor), 0);
      const auto made = new_handle(tensor, value, false, !handle->number->is_constant());
      made->number = handle->number;
      *handle = *made;
    }
  }
  Memory& memory = *handle->memory;
  if (handle->cached >= 0 && handle->version == memory.version) return handle->cached;
  ValueId value = memory.current;
  for (const ViewStep& step : handle->views) {
    const DType dtype = graph_.value(step.op.outputs.at(step.output)).dtype;
    Op op = step.op;
    op.args.at(0).value = ValueRef{value};
    value = emit(std::move(op), step.shapes, dtype, step.output);
  }
  handle->cached = value;
  handle->version = memory.version;
  return value;
}

Arg Recorder::arg_of(const Symbol& symbol, const c10::Argument& argument, const std::string& op) {
  const auto expr_of = [&](const NumberSymbol& number) {
    if (number.poison) {
      fail("`" + argument.name() + "` depends on a number that " + number.poison->op +
               " read from the data of a tensor" +
               (number.poison->where.empty() ? "" : " (" + number.poison->where + ")"),
           op, "a network whose sizes and constants do not depend on the values of its inputs");
    }
    return number.expr;
  };
  if (symbol.is_none()) return std::monostate();
  if (const auto handle = symbol.tensor()) return ValueRef{value_of(handle)};
  const c10::TypePtr& element = element_type(argument);
  if (const auto* number = symbol.number()) {
    const bool for_list = element.get() != argument.type().get();
    if (!for_list) return expr_of(*number);
    return std::vector<Expr>(static_cast<size_t>(argument.N().value_or(1)), expr_of(*number));
  }
  if (const auto* list = symbol.list()) {
    if (holds_tensors(element)) {
      std::vector<ValueRef> refs;
      for (const Symbol& item : list->items) {
        const auto handle = item.tensor();
        refs.push_back({handle ? value_of(handle) : -1});
      }
      return refs;
    }
    std::vector<Expr> exprs;
    for (const Symbol& item : list->items) {
      if (!item.number()) fail("`" + argument.name() + "` is a list of things", op, "numbers");
      exprs.push_back(expr_of(*item.number()));
    }
    return exprs;
  }
  if (const auto* constant = symbol.constant()) {
    if (constant->isString()) return constant->toStringRef();
    if (constant->isDevice()) return constant->toDevice().str();
  }
  fail("`" + argument.name() +
           "` has a type that cpd does not know: " + concrete_of(symbol).tagKind(),
       op, "a tensor, a number, a string or a list of these");
}

Symbols Recorder::call(const std::string& kind, const std::string& overload, Symbols args) {
  const auto handle = c10::Dispatcher::singleton().findSchema({kind, overload});
  if (!handle) fail("the operator is not known to LibTorch", kind + "." + overload);
  const auto& arguments = handle->schema().arguments();
  while (args.size() < arguments.size()) {
    const auto& fallback = arguments[args.size()].default_value();
    args.push_back(fallback ? symbol_of(*fallback) : Symbol());
  }
  Op op{kind, overload, {}, {}, place_.where, place_.scope};
  for (size_t i = 0; i < args.size(); i++) {
    op.args.push_back({arguments[i].name(), arg_of(args[i], arguments[i], kind)});
  }
  return run(*handle, args, op);
}

Symbol Recorder::call1(const std::string& kind, const std::string& overload, Symbols args) {
  return call(kind, overload, std::move(args)).at(0);
}

Symbols Recorder::run(const c10::OperatorHandle& handle, const Symbols& args, const Op& recorded) {
  const auto& schema = handle.schema();
  std::vector<c10::IValue> stack;
  for (size_t i = 0; i < args.size(); i++) {
    stack.push_back(concrete_of(args[i], *schema.arguments()[i].type()));
  }
  const c10::AutoGradMode no_grad(false);
  try {
    handle.callBoxed(stack);
  } catch (const c10::Error& error) {
    fail("the network raises: " + first_line(error.what_without_backtrace()), recorded.kind);
  } catch (const std::exception& error) {
    fail("the network raises: " + first_line(error.what()), recorded.kind);
  }
  return wrap_outputs(schema, stack, args, recorded);
}

Symbols Recorder::wrap_outputs(const c10::FunctionSchema& schema,
                               const std::vector<c10::IValue>& stack, const Symbols& args, Op op) {
  const auto tensors = tensors_on(stack);
  std::vector<Shape> shapes;
  for (const at::Tensor& tensor : tensors) {
    shapes.push_back(shape_of(tensor));
    op.outputs.push_back(add_result(shapes.back(), graph_dtype(tensor)));
  }
  if (tensors.empty()) fail("the operator returns no tensor", op.kind);
  graph_.add_op(op);
  Symbols results;
  size_t next = 0;
  for (size_t i = 0; i < stack.size(); i++) {
    const c10::IValue& value = stack[i];
    const bool aliases = schema.returns()[i].alias_info() != nullptr;
    if (value.isTensor()) {
      results.push_back(wrap_tensor(tensors[next], args, aliases, op, next, shapes));
      next++;
    } else if (value.isTensorList()) {
      Symbols items;
      for (size_t end = next + value.toTensorVector().size(); next < end; next++) {
        items.push_back(wrap_tensor(tensors[next], args, aliases, op, next, shapes));
      }
      results.push_back(make_list(c10::TensorType::get(), std::move(items)));
    } else {
      const bool data = depends_on_data(args);
      const auto poison =
          data ? std::make_shared<Poison>(Poison{op.kind, op.where.text()}) : nullptr;
      results.push_back(symbol_of(value, poison));
    }
  }
  return results;
}

Symbol Recorder::wrap_tensor(const at::Tensor& tensor, const Symbols& args, bool may_alias,
                             const Op& op, size_t index, const std::vector<Shape>& shapes) {
  if (!tensor.defined()) return Symbol(c10::IValue(at::Tensor()));
  const ValueId value = op.outputs[index];
  const auto operands = tensors_in(args);
  const bool grad = at::isFloatingType(tensor.scalar_type()) &&
                    std::any_of(operands.begin(), operands.end(),
                                [](const HandlePtr& operand) { return operand->requires_grad; });
  const auto self = args.empty() ? nullptr : args[0].tensor();
  if (may_alias && self && tensor.is_alias_of(self->concrete)) {
    auto view = std::make_shared<Handle>(*self);
    view->concrete = tensor;
    view->views.push_back({op, index, shapes, shape_of(self->concrete)});
    view->cached = value;
    view->version = view->memory->version;
    view->number.reset();
    view->memory->shape_dependent |= depends_on_shape(args);
    return Symbol(std::move(view));
  }
  const bool data = depends_on_data(args) || draws_random_numbers(op.kind);
  const auto handle = new_handle(tensor, value, data, depends_on_shape(args));
  handle->requires_grad = grad;
  return Symbol(handle);
}

void Recorder::protect(const HandlePtr& target) {
  const int index = target->memory->parameter;
  if (index < 0) return;
  const Parameter& entry = table_[static_cast<size_t>(index)];
  for (const auto& [tensor, before] : written_) {
    if (tensor.is_same(entry.tensor)) return;
  }
  written_.emplace_back(entry.tensor.detach(), entry.tensor.detach().clone());
  if (entry.name.ends_with("num_batches_tracked")) return;  // batch norms count by themselves
  note("the update of " + entry.name + " during the forward pass is not kept");
}

ValueId Recorder::reshape_to(ValueId value, ValueId like, const Shape& shape, DType dtype) {
  std::vector<Expr> sizes;
  for (size_t i = 0; i < shape.size(); i++) {
    const bool constant = graph_.value(like).kind == ValueKind::kParameter;
    sizes.push_back(constant ? Expr::constant(shape[i])
                             : Expr::size(like, static_cast<int>(i), shape[i]));
  }
  Op op{"aten::reshape", "", {}, {}, {}, {}};
  op.args = {{"self", ValueRef{value}}, {"shape", std::move(sizes)}};
  return emit(std::move(op), {shape}, dtype, 0);
}

namespace {

const std::set<std::string>& reshaping_views() {
  static const std::set<std::string> kinds = {"aten::reshape",   "aten::view",    "aten::flatten",
                                              "aten::unflatten", "aten::squeeze", "aten::unsqueeze",
                                              "aten::ravel"};
  return kinds;
}

Arg constant_arg(int64_t value) { return Expr::constant(value); }

/// The dimension that a view cuts, counted from the front.
int64_t cut_dim(const ViewStep& step) {
  const int64_t dim = step.op.integer("dim");
  return dim < 0 ? dim + static_cast<int64_t>(step.base_shape.size()) : dim;
}

/// Where the chosen piece of a split begins.
int64_t piece_start(const ViewStep& step) {
  int64_t start = 0;
  for (size_t i = 0; i < step.output; i++) {
    start += step.shapes[i][static_cast<size_t>(cut_dim(step))];
  }
  return start;
}

Op scatter_op(const std::string& kind, ValueId base, ValueId part, std::vector<NamedArg> args) {
  Op op{kind, "", {{"self", ValueRef{base}}, {"src", ValueRef{part}}}, {}, {}, {}};
  op.args.insert(op.args.end(), args.begin(), args.end());
  return op;
}

Op slice_scatter(const ViewStep& step, ValueId base, ValueId part, int64_t start) {
  const int64_t length = step.shapes[step.output][static_cast<size_t>(cut_dim(step))];
  return scatter_op("aten::slice_scatter", base, part,
                    {{"dim", constant_arg(cut_dim(step))},
                     {"start", constant_arg(start)},
                     {"end", constant_arg(start + length)},
                     {"step", constant_arg(1)}});
}

/// The op that puts `part` back to where a view took it from; nothing if none is known.
std::optional<Op> scatter_back(const ViewStep& step, ValueId base, ValueId part) {
  const Op& view = step.op;
  const auto copied = [&view](std::initializer_list<const char*> names) {
    std::vector<NamedArg> args;
    for (const char* name : names) args.push_back({name, view.arg(name)});
    return args;
  };
  if (view.kind == "aten::select") {
    return scatter_op("aten::select_scatter", base, part, copied({"dim", "index"}));
  }
  if (view.kind == "aten::slice") {
    return scatter_op("aten::slice_scatter", base, part, copied({"dim", "start", "end", "step"}));
  }
  if (view.kind == "aten::diagonal") {
    return scatter_op("aten::diagonal_scatter", base, part, copied({"offset", "dim1", "dim2"}));
  }
  if (view.kind == "aten::narrow") {
    return slice_scatter(step, base, part, view.integer("start"));
  }
  if (view.kind == "aten::split" || view.kind == "aten::chunk" ||
      view.kind == "aten::split_with_sizes" || view.kind == "aten::tensor_split") {
    return slice_scatter(step, base, part, piece_start(step));
  }
  if (view.kind == "aten::unbind") {
    return scatter_op("aten::select_scatter", base, part,
                      {{"dim", constant_arg(cut_dim(step))},
                       {"index", constant_arg(static_cast<int64_t>(step.output))}});
  }
  if (view.kind == "aten::transpose" || view.kind == "aten::t") {
    Op op = view;
    op.set("self", ValueRef{part});
    return op;
  }
  if (view.kind == "aten::permute") {
    std::vector<Expr> inverse(step.base_shape.size());
    int64_t position = 0;
    for (int64_t dim : view.integers("dims")) {
      if (dim < 0) dim += static_cast<int64_t>(inverse.size());
      inverse[static_cast<size_t>(dim)] = Expr::constant(position++);
    }
    Op op = view;
    op.set("self", ValueRef{part});
    op.set("dims", std::move(inverse));
    return op;
  }
  return std::nullopt;
}

}  // namespace

ValueId Recorder::scatter(const ViewStep& step, ValueId base, ValueId part) {
  const DType dtype = graph_.value(base).dtype;
  if (reshaping_views().count(step.op.kind) > 0) {
    return reshape_to(part, base, step.base_shape, dtype);
  }
  auto op = scatter_back(step, base, part);
  if (!op) fail("a write into a view made by " + step.op.kind + " is not supported", step.op.kind);
  return emit(std::move(*op), {step.base_shape}, dtype, 0);
}

void Recorder::write(const HandlePtr& target, const Symbol& source) {
  value_of(target);
  Symbol result = source;
  if (result.tensor()->concrete.sizes() != target->concrete.sizes()) {
    result = call1("aten::expand", "", {result, sizes(target), Symbol::boolean(false)});
  }
  if (result.tensor()->concrete.scalar_type() != target->concrete.scalar_type()) {
    const auto type = static_cast<int64_t>(target->concrete.scalar_type());
    result = call1(
        "aten::to", "dtype",
        {result, Symbol::integer(type), Symbol::boolean(false), Symbol::boolean(false), Symbol()});
  }
  const HandlePtr from = result.tensor();
  protect(target);
  const ValueId value = value_of(from);
  Memory& memory = *target->memory;
  std::vector<ValueId> chain = {memory.current};
  for (size_t i = 0; i + 1 < target->views.size(); i++) {
    auto partial = std::make_shared<Handle>(*target);
    partial->views.resize(i + 1);
    partial->cached = -1;
    chain.push_back(value_of(partial));
  }
  ValueId part = value;
  for (size_t i = target->views.size(); i-- > 0;) {
    part = scatter(target->views[i], chain[i], part);
  }
  {
    const c10::AutoGradMode no_grad(false);
    target->concrete.copy_(from->concrete);
  }
  memory.current = part;
  memory.version++;
  memory.data_dependent |= from->memory->data_dependent;
  memory.shape_dependent |= from->memory->shape_dependent;
  target->cached = value;
  target->version = memory.version;
  target->number.reset();
  target->requires_grad |= from->requires_grad;
}

Output Recorder::output_of(const Symbol& symbol) {
  Output output;
  const auto add_items = [&](const Symbols& items) {
    for (const Symbol& item : items) output.items.push_back(output_of(item));
  };
  if (const auto handle = symbol.tensor()) {
    output.value = value_of(handle);
  } else if (symbol.is_none()) {
    output.kind = Output::Kind::kNone;
  } else if (const auto* number = symbol.number()) {
    if (number->poison) {
      fail("the network returns a number that was read from tensor data", number->poison->op,
           "tensors");
    }
    output.kind = Output::Kind::kNumber;
    output.number = number->expr;
  } else if (const auto* list = symbol.list()) {
    output.kind = Output::Kind::kList;
    add_items(list->items);
  } else if (const auto* tuple = symbol.tuple()) {
    output.kind = Output::Kind::kTuple;
    add_items(tuple->items);
    const auto type = tuple->type ? tuple->type->cast<c10::TupleType>() : nullptr;
    if (type && type->name() && type->schema()) {
      output.type_name = type->name()->qualifiedName();
      for (const auto& argument : type->schema()->arguments()) {
        output.keys.push_back(argument.name());
      }
    }
  } else if (const auto* dict = symbol.dict()) {
    output.kind = Output::Kind::kDict;
    for (const auto& [key, value] : dict->items) {
      if (!key.constant() || !key.constant()->isString()) {
        fail("the network returns a dict with keys that are not strings", "", "strings as keys");
      }
      output.keys.push_back(key.constant()->toStringRef());
      output.items.push_back(output_of(value));
    }
  } else {
    fail("the network returns a value of type " + concrete_of(symbol).tagKind(), "",
         "tensors, numbers, tuples, lists and dicts of these");
  }
  return output;
}

Model Recorder::finish(const Symbol& result) {
  graph_.output = output_of(result);
  Model model;
  model.graph = std::move(graph_);
  model.parameters = std::move(table_);
  model.notes = std::move(notes_);
  return model;
}

}  // namespace cpd
