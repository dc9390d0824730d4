#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/jit_type.h>
#include <cpd/core/error.h>
#include <cpd/model/argument.h>
#include <cpd/model/execution.h>

namespace cpd {
namespace {

/// One argument of a step: a constant made ready, or what has to be looked up at run time.
struct Slot {
  c10::IValue constant;
  ValueId tensor = -1;
  const Arg* dynamic = nullptr;
  const c10::Argument* schema = nullptr;
};

struct Step {
  std::optional<c10::OperatorHandle> handle;
  std::vector<Slot> slots;
  std::vector<ValueId> last_uses;
};

bool is_constant(const Arg& arg) {
  if (const auto* expr = std::get_if<Expr>(&arg)) return expr->is_constant();
  if (const auto* exprs = std::get_if<std::vector<Expr>>(&arg)) {
    for (const Expr& expr : *exprs) {
      if (!expr.is_constant()) return false;
    }
    return true;
  }
  if (const auto* refs = std::get_if<std::vector<ValueRef>>(&arg)) return refs->empty();
  return !std::holds_alternative<ValueRef>(arg);
}

Slot make_slot(const Arg& arg, const c10::Argument& schema) {
  Slot slot;
  slot.schema = &schema;
  if (const auto* ref = std::get_if<ValueRef>(&arg)) {
    slot.tensor = ref->id;
  } else if (is_constant(arg)) {
    slot.constant = ivalue_of(arg, *schema.type(), {}, {});
  } else {
    slot.dynamic = &arg;
  }
  return slot;
}

Where where_of(const Op& op) {
  const std::string overload = op.overload.empty() ? "" : "." + op.overload;
  return {op.kind + overload, op.where.text(), {}};
}

Step make_step(const Op& op) {
  Step step;
  step.handle = c10::Dispatcher::singleton().findSchema({op.kind, op.overload});
  if (!step.handle) throw Error("LibTorch has no such operator", where_of(op));
  const auto& schema = step.handle->schema().arguments();
  if (schema.size() != op.args.size()) {
    throw Error("the op has " + std::to_string(op.args.size()) + " arguments", where_of(op),
                std::to_string(schema.size()) + ", as its schema says");
  }
  for (size_t i = 0; i < schema.size(); i++) {
    if (schema[i].name() != op.args[i].name) {
      throw Error("argument " + std::to_string(i) + " is called `" + op.args[i].name + "`",
                  where_of(op), "`" + schema[i].name() + "`");
    }
    step.slots.push_back(make_slot(op.args[i].value, schema[i]));
  }
  return step;
}

/// Values that an op reads, as tensors or for their sizes.
std::vector<ValueId> reads(const Op& op) {
  std::vector<ValueId> ids = op.operands();
  const auto add = [&ids](const Expr& expr) {
    expr.for_each_size([&ids](ValueId value, int) { ids.push_back(value); });
  };
  for (const NamedArg& arg : op.args) {
    if (const auto* expr = std::get_if<Expr>(&arg.value)) add(*expr);
    if (const auto* exprs = std::get_if<std::vector<Expr>>(&arg.value)) {
      for (const Expr& expr : *exprs) add(expr);
    }
  }
  return ids;
}

}  // namespace

struct Execution::State {
  Graph graph;
  std::vector<Step> steps;
  std::vector<ValueId> outputs;

  explicit State(const Graph& source) : graph(source), outputs(graph.output_values()) {
    steps.reserve(graph.ops.size());
    for (const Op& op : graph.ops) steps.push_back(make_step(op));
    find_last_uses();
  }

  void find_last_uses() {
    std::vector<bool> seen(graph.values.size(), false);
    for (ValueId output : outputs) seen.at(static_cast<size_t>(output)) = true;
    for (size_t i = graph.ops.size(); i-- > 0;) {
      std::vector<ValueId> candidates = reads(graph.ops[i]);
      candidates.insert(candidates.end(), graph.ops[i].outputs.begin(), graph.ops[i].outputs.end());
      for (ValueId id : candidates) {
        if (seen.at(static_cast<size_t>(id))) continue;
        seen[static_cast<size_t>(id)] = true;
        if (graph.value(id).kind == ValueKind::kResult) steps[i].last_uses.push_back(id);
      }
    }
  }
};

Execution::Execution(const Graph& graph) : state_(std::make_unique<State>(graph)) {}
Execution::~Execution() = default;
Execution::Execution(Execution&&) noexcept = default;
Execution& Execution::operator=(Execution&&) noexcept = default;

const Graph& Execution::graph() const { return state_->graph; }

const std::vector<ValueId>& Execution::last_uses(OpId op) const {
  return state_->steps.at(static_cast<size_t>(op)).last_uses;
}

void Execution::run_op(OpId op, Tensors& values, bool training) const {
  const Step& step = state_->steps.at(static_cast<size_t>(op));
  const Op& source = state_->graph.ops[static_cast<size_t>(op)];
  const Sizes sizes{
      [&values](ValueId value, int dim) { return values[static_cast<size_t>(value)].size(dim); },
      training};
  const auto tensor = [&values](ValueId value) -> const at::Tensor& {
    return values[static_cast<size_t>(value)];
  };
  std::vector<c10::IValue> stack;
  stack.reserve(step.slots.size());
  for (const Slot& slot : step.slots) {
    if (slot.tensor >= 0) {
      stack.emplace_back(tensor(slot.tensor));
    } else if (slot.dynamic != nullptr) {
      stack.push_back(ivalue_of(*slot.dynamic, *slot.schema->type(), sizes, tensor));
    } else {
      stack.push_back(slot.constant);
    }
  }
  try {
    step.handle->callBoxed(stack);
  } catch (const c10::Error& error) {
    throw Error(first_line(error.what_without_backtrace()), where_of(source));
  }
  store_outputs(stack, source, values);
}

std::vector<at::Tensor> Execution::run(Tensors& values, bool training) const {
  values.resize(state_->graph.values.size());
  for (size_t i = 0; i < state_->steps.size(); i++) {
    run_op(static_cast<OpId>(i), values, training);
    for (ValueId id : state_->steps[i].last_uses) values[static_cast<size_t>(id)].reset();
  }
  std::vector<at::Tensor> outputs;
  for (ValueId id : state_->outputs) outputs.push_back(values[static_cast<size_t>(id)]);
  return outputs;
}

}  // namespace cpd
