#include <ATen/core/grad_mode.h>
#include <ATen/core/jit_type.h>
#include <cpd/model/argument.h>
#include <cpd/model/tensor_ops.h>

#include <map>

namespace cpd {
namespace {

/// A plain number given where a tensor is expected, or a tensor that holds a known number.
std::optional<Expr> number_of(const Symbol& symbol) {
  if (const auto* number = symbol.number()) {
    return number->poison ? std::nullopt : std::make_optional(number->expr);
  }
  const auto handle = symbol.tensor();
  return handle ? handle->number : std::nullopt;
}

std::optional<std::string> rounded_division(const Call& call) {
  if (!call.has("rounding_mode")) return "div";
  const auto* mode = call.arg("rounding_mode").constant();
  return mode && mode->isString() && mode->toStringRef() == "floor" ? std::make_optional("floordiv")
                                                                    : std::nullopt;
}

std::optional<std::string> arithmetic_of(const Call& call) {
  static const std::map<std::string, std::string> functions = {{"aten::add", "add"},
                                                               {"aten::sub", "sub"},
                                                               {"aten::mul", "mul"},
                                                               {"aten::floor_divide", "floordiv"},
                                                               {"aten::remainder", "remainder"},
                                                               {"aten::neg", "neg"},
                                                               {"aten::pow", "pow"},
                                                               {"aten::sqrt", "sqrt"},
                                                               {"aten::ceil", "ceil"},
                                                               {"aten::floor", "floor"}};
  const std::string& name = call.schema.name();
  if (name == "aten::div") return rounded_division(call);
  const auto found = functions.find(name);
  if (found == functions.end()) return std::nullopt;
  if ((name == "aten::add" || name == "aten::sub") && call.integer("alpha") != 1) {
    return std::nullopt;
  }
  return found->second;
}

at::Tensor evaluate(const Call& call) {
  const auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(
      call.schema.name().c_str(), call.schema.overload_name().c_str());
  std::vector<c10::IValue> stack;
  for (size_t i = 0; i < call.args.size(); i++) {
    stack.push_back(concrete_of(call.args[i], *call.schema.arguments()[i].type()));
  }
  const c10::AutoGradMode no_grad(false);
  handle.callBoxed(stack);
  return stack.at(0).toTensor();
}

/// Arithmetic on tensors that hold numbers, as traces have it for sizes: stays an expression.
std::optional<Symbol> number_arithmetic(const Call& call) {
  const auto function = arithmetic_of(call);
  if (!function) return std::nullopt;
  const bool unary = call.schema.arguments().size() == 1;
  std::vector<Expr> operands;
  for (size_t i = 0; i < (unary ? 1U : 2U); i++) {
    const auto number = number_of(call.args.at(i));
    if (!number) return std::nullopt;
    operands.push_back(*number);
  }
  const at::Tensor concrete = evaluate(call);
  if (concrete.dim() != 0 || at::isComplexType(concrete.scalar_type())) return std::nullopt;
  Expr result = Expr::call(*function, std::move(operands));
  if (result.dense_double() != concrete.item<double>()) return std::nullopt;
  const bool real = at::isFloatingType(concrete.scalar_type());
  return call.recorder.number_tensor(Expr::call(real ? "float" : "int", {result}), concrete);
}

Symbols set_training(Call& call, const char* name) {
  call.follow_mode(name);
  return call.keep();
}

Symbols dropout(Call& call) { return set_training(call, "train"); }
Symbols rrelu(Call& call) { return set_training(call, "training"); }

Canonical canonical_mode(const std::string& kind) {
  static const std::map<std::string, Canonical> rules = {{"aten::dropout", dropout},
                                                         {"aten::alpha_dropout", dropout},
                                                         {"aten::feature_dropout", dropout},
                                                         {"aten::feature_alpha_dropout", dropout},
                                                         {"aten::lstm", dropout},
                                                         {"aten::gru", dropout},
                                                         {"aten::rnn_tanh", dropout},
                                                         {"aten::rnn_relu", dropout},
                                                         {"aten::rrelu", rrelu}};
  const auto found = rules.find(kind);
  return found == rules.end() ? nullptr : found->second;
}

Canonical canonical_rule(const std::string& kind) {
  for (const auto find : {canonical_convolution, canonical_indexing, canonical_layout,
                          canonical_norm, canonical_mode, canonical_attention}) {
    if (const Canonical rule = find(kind)) return rule;
  }
  return nullptr;
}

/// Another name of an operator with the same arguments and overloads.
const std::string& main_name(const std::string& kind) {
  static const std::map<std::string, std::string> names = {
      {"aten::concat", "aten::cat"},
      {"aten::concatenate", "aten::cat"},
      {"aten::multiply", "aten::mul"},
      {"aten::subtract", "aten::sub"},
      {"aten::divide", "aten::div"},
      {"aten::true_divide", "aten::div"},
      {"aten::absolute", "aten::abs"},
      {"aten::negative", "aten::neg"},
      {"aten::__and__", "aten::bitwise_and"},
      {"aten::__or__", "aten::bitwise_or"},
      {"aten::__xor__", "aten::bitwise_xor"},
      {"aten::swapaxes", "aten::transpose"},
      {"aten::swapdims", "aten::transpose"},
      {"aten::moveaxis", "aten::movedim"},
      {"aten::clip", "aten::clamp"},
      {"aten::greater", "aten::gt"},
      {"aten::less", "aten::lt"},
      {"aten::special_expit", "aten::sigmoid"}};
  const auto found = names.find(kind);
  return found == names.end() ? kind : found->second;
}

bool writes(const c10::FunctionSchema& schema) {
  for (const c10::Argument& argument : schema.arguments()) {
    if (argument.alias_info() && argument.alias_info()->isWrite()) return true;
  }
  return false;
}

/// `aten::relu` of `aten::relu_`, `aten::bitwise_and` of `aten::__iand__`.
std::string functional_name(const std::string& name) {
  static const std::map<std::string, std::string> names = {{"aten::__iand__", "aten::bitwise_and"},
                                                           {"aten::__ior__", "aten::bitwise_or"},
                                                           {"aten::__ixor__", "aten::bitwise_xor"}};
  const auto found = names.find(name);
  if (found != names.end()) return found->second;
  return name.back() == '_' && name[name.size() - 2] != '_' ? name.substr(0, name.size() - 1) : "";
}

bool rebinds(const std::string& name) {
  return name == "aten::squeeze_" || name == "aten::unsqueeze_" || name == "aten::t_" ||
         name == "aten::transpose_" || name == "aten::swapaxes_" || name == "aten::swapdims_";
}

Symbol filled(Recorder& recorder, const Symbol& like, const Symbol& value) {
  if (value.number()) return recorder.call1("aten::full_like", "", {like, value});
  return recorder.call1("aten::fill", "Tensor", {like, value});
}

/// What an in-place operator leaves in its first argument.
Symbol result_of(Recorder& recorder, const c10::FunctionSchema& schema, const Symbols& args) {
  const std::string& name = schema.name();
  if (name == "aten::zero_") return recorder.call1("aten::zeros_like", "", {args[0]});
  if (name == "aten::fill_") return filled(recorder, args[0], args[1]);
  if (name == "aten::copy_") {
    return args[1].tensor() ? args[1] : filled(recorder, args[0], args[1]);
  }
  if (name == "aten::bernoulli_" && schema.overload_name() == "float") {
    return recorder.call1("aten::bernoulli", "p", args);
  }
  const std::string functional = functional_name(name);
  const auto handle = c10::Dispatcher::singleton().findSchema({functional, schema.overload_name()});
  if (functional.empty() || !handle || writes(handle->schema()) ||
      handle->schema().arguments().size() != schema.arguments().size()) {
    recorder.fail("the operator writes into its arguments in a way that cpd does not know", name,
                  "operators that return their result, or in-place operators such as add_");
  }
  return run_tensor_op(recorder, handle->schema(), args).at(0);
}

}  // namespace

Symbol Recorder::call_in_place(const c10::FunctionSchema& schema, const Symbols& args) {
  const HandlePtr target = args.at(0).tensor();
  const auto& first = schema.arguments()[0];
  if (!target || !first.alias_info() || !first.alias_info()->isWrite()) {
    fail("the operator writes into an argument that was passed for its result", schema.name(),
         "operators that return their result");
  }
  if (schema.name() == "aten::detach_" || schema.name() == "aten::requires_grad_") return args[0];
  const Symbol result = result_of(*this, schema, args);
  if (rebinds(schema.name())) {
    *target = *result.tensor();
  } else {
    write(target, result);
  }
  return args[0];
}

const Symbol& Call::arg(const std::string& name) const {
  const auto index = schema.argumentIndexWithName(name);
  if (!index) recorder.fail("there is no argument `" + name + "`", schema.name());
  return args.at(static_cast<size_t>(*index));
}

bool Call::has(const std::string& name) const {
  return schema.argumentIndexWithName(name).has_value() && !arg(name).is_none();
}

void Call::set(const std::string& name, Symbol value) {
  const auto index = schema.argumentIndexWithName(name);
  if (!index) recorder.fail("there is no argument `" + name + "`", schema.name());
  args.at(static_cast<size_t>(*index)) = std::move(value);
}

HandlePtr Call::tensor(const std::string& name) const {
  const HandlePtr handle = arg(name).tensor();
  if (!handle) recorder.fail("`" + name + "` is no tensor", schema.name());
  return handle;
}

int64_t Call::integer(const std::string& name) const {
  const auto* number = arg(name).number();
  if (!number) recorder.fail("`" + name + "` is no number", schema.name());
  return number->expr.dense_int();
}

void Call::follow_mode(const std::string& name) {
  const auto* fixed = arg(name).number();
  if (fixed && fixed->expr.is_constant() && fixed->expr.dense_bool()) recorder.see_fixed_training();
  set(name, Symbol(Expr::training()));
}

std::vector<int64_t> Call::integers(const std::string& name) const {
  const auto* list = arg(name).list();
  if (!list) return {integer(name)};
  std::vector<int64_t> numbers;
  for (const Symbol& item : list->items) {
    if (!item.number()) recorder.fail("`" + name + "` holds no numbers", schema.name());
    numbers.push_back(item.number()->expr.dense_int());
  }
  return numbers;
}

Symbols run_tensor_op(Recorder& recorder, const c10::FunctionSchema& schema, Symbols args) {
  if (writes(schema)) return {recorder.call_in_place(schema, args)};
  const std::string& name = main_name(schema.name());
  if (name != schema.name()) {
    const auto handle = c10::Dispatcher::singleton().findSchema({name, schema.overload_name()});
    if (handle) return run_tensor_op(recorder, handle->schema(), std::move(args));
  }
  Call call{recorder, schema, std::move(args)};
  if (const auto number = number_arithmetic(call)) return {*number};
  if (const Canonical rule = canonical_rule(name)) return rule(call);
  return call.keep();
}

}  // namespace cpd
