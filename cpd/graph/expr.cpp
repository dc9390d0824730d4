#include <cpd/core/error.h>
#include <cpd/graph/expr.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

namespace cpd {
namespace {

bool is_real(const Number& number) { return std::holds_alternative<double>(number); }

using Function = Number (*)(const std::vector<Number>&);

[[noreturn]] void divided_by_zero(const std::string& function) {
  throw Error("division by zero in `" + function + "`", {}, "a divisor that is not 0");
}

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) divided_by_zero("floordiv");
  const int64_t quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

Number floordiv(const std::vector<Number>& x) {
  if (!is_real(x[0]) && !is_real(x[1])) return floor_divide(as_int(x[0]), as_int(x[1]));
  if (as_double(x[1]) == 0) divided_by_zero("floordiv");
  return std::floor(as_double(x[0]) / as_double(x[1]));
}

Number remainder(const std::vector<Number>& x) {
  if (!is_real(x[0]) && !is_real(x[1])) {
    const int64_t a = as_int(x[0]), b = as_int(x[1]);
    return a - floor_divide(a, b) * b;
  }
  const double a = as_double(x[0]), b = as_double(x[1]);
  if (b == 0) divided_by_zero("remainder");
  return a - std::floor(a / b) * b;
}

Number divide(const std::vector<Number>& x) {
  if (as_double(x[1]) == 0) divided_by_zero("div");
  return as_double(x[0]) / as_double(x[1]);
}

Number power(const std::vector<Number>& x) {
  if (is_real(x[0]) || is_real(x[1]) || as_int(x[1]) < 0) {
    return std::pow(as_double(x[0]), as_double(x[1]));
  }
  int64_t result = 1;
  for (int64_t i = 0; i < as_int(x[1]); i++) result *= as_int(x[0]);
  return result;
}

/// Integer arithmetic on integers, real arithmetic as soon as one operand is real.
template <typename Operation>
Number arithmetic(const std::vector<Number>& x, Operation operation) {
  if (is_real(x[0]) || is_real(x[1])) return operation(as_double(x[0]), as_double(x[1]));
  return operation(as_int(x[0]), as_int(x[1]));
}

Number negate(const std::vector<Number>& x) {
  if (is_real(x[0])) return -as_double(x[0]);
  return -as_int(x[0]);
}

template <typename Comparison>
Number compare(const std::vector<Number>& x, Comparison comparison) {
  if (is_real(x[0]) || is_real(x[1])) return comparison(as_double(x[0]), as_double(x[1]));
  return comparison(as_int(x[0]), as_int(x[1]));
}

struct Entry {
  size_t operands;
  Function function;
};

const std::map<std::string, Entry>& functions() {
  using X = const std::vector<Number>&;
  static const std::map<std::string, Entry> table = {
      {"add", {2, [](X x) { return arithmetic(x, std::plus<>()); }}},
      {"sub", {2, [](X x) { return arithmetic(x, std::minus<>()); }}},
      {"mul", {2, [](X x) { return arithmetic(x, std::multiplies<>()); }}},
      {"min",
       {2, [](X x) { return arithmetic(x, [](auto a, auto b) { return std::min(a, b); }); }}},
      {"max",
       {2, [](X x) { return arithmetic(x, [](auto a, auto b) { return std::max(a, b); }); }}},
      {"floordiv", {2, floordiv}},
      {"div", {2, divide}},
      {"remainder", {2, remainder}},
      {"pow", {2, power}},
      {"neg", {1, negate}},
      {"sqrt", {1, [](X x) { return Number(std::sqrt(as_double(x[0]))); }}},
      {"ceil", {1, [](X x) { return Number(static_cast<int64_t>(std::ceil(as_double(x[0])))); }}},
      {"floor", {1, [](X x) { return Number(static_cast<int64_t>(std::floor(as_double(x[0])))); }}},
      {"int", {1, [](X x) { return Number(as_int(x[0])); }}},
      {"float", {1, [](X x) { return Number(as_double(x[0])); }}},
      {"bool", {1, [](X x) { return Number(as_bool(x[0])); }}},
      {"eq", {2, [](X x) { return compare(x, std::equal_to<>()); }}},
      {"ne", {2, [](X x) { return compare(x, std::not_equal_to<>()); }}},
      {"lt", {2, [](X x) { return compare(x, std::less<>()); }}},
      {"le", {2, [](X x) { return compare(x, std::less_equal<>()); }}},
      {"gt", {2, [](X x) { return compare(x, std::greater<>()); }}},
      {"ge", {2, [](X x) { return compare(x, std::greater_equal<>()); }}},
      {"and", {2, [](X x) { return Number(as_bool(x[0]) && as_bool(x[1])); }}},
      {"or", {2, [](X x) { return Number(as_bool(x[0]) || as_bool(x[1])); }}},
      {"not", {1, [](X x) { return Number(!as_bool(x[0])); }}},
  };
  return table;
}

std::string text_of(const Number& number) {
  if (const auto* integer = std::get_if<int64_t>(&number)) return std::to_string(*integer);
  if (const auto* boolean = std::get_if<bool>(&number)) return *boolean ? "true" : "false";
  const double real = std::get<double>(number);
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), real).ptr;
  std::string text(buffer, end);
  const bool looks_real = text.find_first_of(".en") != std::string::npos;
  return looks_real ? text : text + ".0";
}

}  // namespace

int64_t as_int(const Number& number) {
  return std::visit([](auto value) { return static_cast<int64_t>(value); }, number);
}

double as_double(const Number& number) {
  return std::visit([](auto value) { return static_cast<double>(value); }, number);
}

bool as_bool(const Number& number) {
  return std::visit([](auto value) { return value != decltype(value)(); }, number);
}

Number apply(const std::string& function, const std::vector<Number>& operands) {
  const auto entry = functions().find(function);
  if (entry == functions().end()) throw Error("there is no arithmetic function `" + function + "`");
  if (entry->second.operands != operands.size()) {
    throw Error("`" + function + "` was given " + std::to_string(operands.size()) + " operands", {},
                std::to_string(entry->second.operands));
  }
  return entry->second.function(operands);
}

struct Expr::Node {
  Kind kind = Kind::kConstant;
  Number dense = int64_t{0};
  ValueId value = -1;
  int dim = 0;
  std::string function;
  std::vector<Expr> operands;
};

Expr::Expr() : Expr(constant(int64_t{0})) {}
Expr::Expr(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

Expr Expr::constant(Number value) {
  auto node = std::make_shared<Node>();
  node->dense = value;
  return Expr(std::move(node));
}

Expr Expr::size(ValueId value, int dim, int64_t dense) {
  auto node = std::make_shared<Node>();
  node->kind = Kind::kSize;
  node->value = value;
  node->dim = dim;
  node->dense = dense;
  return Expr(std::move(node));
}

Expr Expr::training() {
  auto node = std::make_shared<Node>();
  node->kind = Kind::kTraining;
  node->dense = false;
  return Expr(std::move(node));
}

Expr Expr::call(const std::string& function, std::vector<Expr> operands) {
  std::vector<Number> numbers;
  for (const Expr& operand : operands) numbers.push_back(operand.dense());
  const Number dense = cpd::apply(function, numbers);
  const bool folds = std::all_of(operands.begin(), operands.end(),
                                 [](const Expr& operand) { return operand.is_constant(); });
  if (folds) return constant(dense);
  const bool keeps_type = operands[0].dense().index() == dense.index();
  if (keeps_type && (function == "int" || function == "float" || function == "bool")) {
    return operands[0];
  }
  auto node = std::make_shared<Node>();
  node->kind = Kind::kCall;
  node->dense = dense;
  node->function = function;
  node->operands = std::move(operands);
  return Expr(std::move(node));
}

Expr::Kind Expr::kind() const { return node_->kind; }
const Number& Expr::dense() const { return node_->dense; }
ValueId Expr::size_value() const { return node_->value; }
int Expr::size_dim() const { return node_->dim; }
const std::string& Expr::function() const { return node_->function; }
const std::vector<Expr>& Expr::operands() const { return node_->operands; }

Number Expr::evaluate(const Sizes& sizes) const {
  switch (node_->kind) {
    case Kind::kConstant:
      return node_->dense;
    case Kind::kSize:
      return sizes.size(node_->value, node_->dim);
    case Kind::kTraining:
      return sizes.training;
    case Kind::kCall:
      break;
  }
  std::vector<Number> operands;
  for (const Expr& operand : node_->operands) operands.push_back(operand.evaluate(sizes));
  return cpd::apply(node_->function, operands);
}

Expr Expr::map_leaves(const std::function<Expr(const Expr&)>& leaf) const {
  if (node_->kind != Kind::kCall) return leaf(*this);
  std::vector<Expr> operands;
  for (const Expr& operand : node_->operands) operands.push_back(operand.map_leaves(leaf));
  return call(node_->function, std::move(operands));
}

void Expr::for_each_size(const std::function<void(ValueId, int)>& visit) const {
  if (node_->kind == Kind::kSize) visit(node_->value, node_->dim);
  for (const Expr& operand : node_->operands) operand.for_each_size(visit);
}

bool Expr::operator==(const Expr& other) const {
  if (node_ == other.node_) return true;
  const Node &a = *node_, &b = *other.node_;
  return a.kind == b.kind && a.dense == b.dense && a.value == b.value && a.dim == b.dim &&
         a.function == b.function && a.operands == b.operands;
}

std::string Expr::text() const {
  switch (node_->kind) {
    case Kind::kConstant:
      return text_of(node_->dense);
    case Kind::kSize:
      return "size(%" + std::to_string(node_->value) + ", " + std::to_string(node_->dim) + ")";
    case Kind::kTraining:
      return "training";
    case Kind::kCall:
      break;
  }
  std::string text = node_->function + "(";
  for (size_t i = 0; i < node_->operands.size(); i++) {
    text += (i > 0 ? ", " : "") + node_->operands[i].text();
  }
  return text + ")";
}

}  // namespace cpd
