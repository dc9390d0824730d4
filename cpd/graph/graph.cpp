#include <cpd/core/error.h>
#include <cpd/graph/graph.h>

#include <array>

namespace cpd {
namespace {

constexpr std::array<const char*, 12> kDTypeNames = {
    "uint8",    "int8",    "int16",   "int32", "int64",     "float16",
    "bfloat16", "float32", "float64", "bool",  "complex64", "complex128"};

void collect(const Output& output, std::vector<ValueId>& values) {
  if (output.kind == Output::Kind::kTensor) values.push_back(output.value);
  for (const Output& item : output.items) collect(item, values);
}

void collect_numbers(const Output& output, std::vector<Expr>& numbers) {
  if (output.kind == Output::Kind::kNumber) numbers.push_back(output.number);
  for (const Output& item : output.items) collect_numbers(item, numbers);
}

/// Checks one graph; every failure names the op or value.
class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), known_(graph.values.size(), false) {}

  void run() {
    for (size_t i = 0; i < graph_.values.size(); i++) check_value(static_cast<ValueId>(i));
    for (size_t i = 0; i < graph_.inputs.size(); i++) check_input(graph_.inputs[i]);
    for (size_t i = 0; i < graph_.ops.size(); i++) check_op(static_cast<OpId>(i));
    for (ValueId value : graph_.output_values()) check_read(value, "the output", {});
    std::vector<Expr> numbers;
    collect_numbers(graph_.output, numbers);
    for (const Expr& number : numbers) check_expr(number, {});
  }

 private:
  [[noreturn]] static void fail(const std::string& problem, const Op* op) {
    throw Error("the graph is not consistent: " + problem,
                op ? Where{op->kind, op->where.text(), {}} : Where{});
  }

  void check_value(ValueId id) {
    const Value& value = graph_.value(id);
    if (value.kind != ValueKind::kResult) known_[static_cast<size_t>(id)] = true;
    const bool produced = value.producer >= 0;
    if (produced != (value.kind == ValueKind::kResult)) {
      fail("%" + std::to_string(id) + (produced ? " has a producer" : " has no producer"), nullptr);
    }
  }

  void check_input(ValueId id) const {
    if (id < 0 || static_cast<size_t>(id) >= known_.size() ||
        graph_.value(id).kind != ValueKind::kInput) {
      fail("%" + std::to_string(id) + " is listed as an input but is none", nullptr);
    }
  }

  void check_read(ValueId id, const std::string& by, const Op* op) const {
    if (id < 0 || static_cast<size_t>(id) >= known_.size() || !known_[static_cast<size_t>(id)]) {
      fail(by + " reads %" + std::to_string(id) + ", which is not defined before", op);
    }
  }

  void check_expr(const Expr& expr, const Op* op) const {
    if (expr.kind() == Expr::Kind::kSize) {
      check_read(expr.size_value(), "a size", op);
      const Shape& shape = graph_.value(expr.size_value()).shape;
      const int dim = expr.size_dim();
      if (dim < 0 || static_cast<size_t>(dim) >= shape.size() ||
          shape[static_cast<size_t>(dim)] != expr.dense_int()) {
        fail(expr.text() + " is not " + std::to_string(expr.dense_int()), op);
      }
    }
    for (const Expr& operand : expr.operands()) check_expr(operand, op);
  }

  void check_op(OpId id) {
    const Op& op = graph_.op(id);
    for (const NamedArg& arg : op.args) {
      if (const auto* expr = std::get_if<Expr>(&arg.value)) check_expr(*expr, &op);
      if (const auto* list = std::get_if<std::vector<Expr>>(&arg.value)) {
        for (const Expr& expr : *list) check_expr(expr, &op);
      }
    }
    for (ValueId operand : op.operands()) check_read(operand, "an op", &op);
    for (ValueId output : op.outputs) {
      if (output < 0 || static_cast<size_t>(output) >= known_.size() ||
          graph_.value(output).producer != id || known_[static_cast<size_t>(output)]) {
        fail("%" + std::to_string(output) + " is not produced exactly once, by its producer", &op);
      }
      known_[static_cast<size_t>(output)] = true;
    }
  }

  const Graph& graph_;
  std::vector<bool> known_;
};

}  // namespace

const char* name_of(DType dtype) { return kDTypeNames.at(static_cast<size_t>(dtype)); }

std::optional<DType> dtype_of(const std::string& name) {
  for (size_t i = 0; i < kDTypeNames.size(); i++) {
    if (name == kDTypeNames[i]) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::string SourceLine::text() const {
  return file.empty() ? std::string() : file + ":" + std::to_string(line);
}

const Arg* Op::find(const std::string& name) const {
  for (const NamedArg& arg : args) {
    if (arg.name == name) return &arg.value;
  }
  return nullptr;
}

const Arg& Op::arg(const std::string& name) const {
  if (const Arg* found = find(name)) return *found;
  throw Error("there is no argument `" + name + "`", {kind, where.text(), {}});
}

void Op::set(const std::string& name, Arg value) {
  for (NamedArg& arg : args) {
    if (arg.name != name) continue;
    arg.value = std::move(value);
    return;
  }
  throw Error("there is no argument `" + name + "` to set", {kind, where.text(), {}});
}

bool Op::has(const std::string& name) const {
  const Arg* found = find(name);
  return found != nullptr && !std::holds_alternative<std::monostate>(*found);
}

ValueId Op::tensor(const std::string& name) const {
  const Arg* found = find(name);
  const auto* ref = found ? std::get_if<ValueRef>(found) : nullptr;
  return ref ? ref->id : -1;
}

namespace {

template <typename Type>
const Type& typed(const Op& op, const std::string& name, const char* expected) {
  if (const auto* value = std::get_if<Type>(&op.arg(name))) return *value;
  throw Error("argument `" + name + "` has another type", {op.kind, op.where.text(), {}}, expected);
}

}  // namespace

std::vector<ValueId> Op::tensors(const std::string& name) const {
  std::vector<ValueId> ids;
  const Arg& value = arg(name);
  if (const auto* numbers = std::get_if<std::vector<Expr>>(&value); numbers && numbers->empty()) {
    return ids;
  }
  for (const ValueRef& ref : typed<std::vector<ValueRef>>(*this, name, "a list of tensors")) {
    ids.push_back(ref.id);
  }
  return ids;
}

int64_t Op::integer(const std::string& name) const {
  return typed<Expr>(*this, name, "a number").dense_int();
}

int64_t Op::integer_or(const std::string& name, int64_t otherwise) const {
  return has(name) ? integer(name) : otherwise;
}

double Op::real(const std::string& name) const {
  return typed<Expr>(*this, name, "a number").dense_double();
}

bool Op::boolean(const std::string& name) const {
  return typed<Expr>(*this, name, "a boolean").dense_bool();
}

std::vector<int64_t> Op::integers(const std::string& name) const {
  std::vector<int64_t> numbers;
  for (const Expr& expr : typed<std::vector<Expr>>(*this, name, "a list of numbers")) {
    numbers.push_back(expr.dense_int());
  }
  return numbers;
}

std::vector<ValueId> Op::operands() const {
  std::vector<ValueId> ids;
  for (const NamedArg& arg : args) {
    if (const auto* ref = std::get_if<ValueRef>(&arg.value); ref && ref->id >= 0) {
      ids.push_back(ref->id);
    }
    if (const auto* refs = std::get_if<std::vector<ValueRef>>(&arg.value)) {
      for (const ValueRef& ref : *refs) {
        if (ref.id >= 0) ids.push_back(ref.id);
      }
    }
  }
  return ids;
}

ValueId Graph::add_value(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size()) - 1;
}

OpId Graph::add_op(Op op) {
  const auto id = static_cast<OpId>(ops.size());
  for (ValueId made : op.outputs) values.at(static_cast<size_t>(made)).producer = id;
  ops.push_back(std::move(op));
  return id;
}

std::vector<ValueId> Graph::output_values() const {
  std::vector<ValueId> ids;
  collect(output, ids);
  return ids;
}

std::vector<std::vector<OpId>> Graph::users() const {
  std::vector<std::vector<OpId>> users(values.size());
  for (size_t i = 0; i < ops.size(); i++) {
    for (ValueId operand : ops[i].operands()) {
      auto& list = users.at(static_cast<size_t>(operand));
      const auto id = static_cast<OpId>(i);
      if (list.empty() || list.back() != id) list.push_back(id);
    }
  }
  return users;
}

void Graph::verify() const { Verifier(*this).run(); }

}  // namespace cpd
