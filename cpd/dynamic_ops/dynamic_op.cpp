#include <ATen/ops/empty.h>
#include <cpd/core/error.h>
#include <cpd/dynamic_ops/dynamic_op.h>

namespace cpd {
namespace {

void for_each_expr(const Op& op, const std::function<void(const Expr&)>& visit) {
  for (const auto& argument : op.args) {
    if (const auto* one = std::get_if<Expr>(&argument.value)) visit(*one);
    if (const auto* many = std::get_if<std::vector<Expr>>(&argument.value)) {
      for (const auto& expr : *many) visit(expr);
    }
  }
}

}  // namespace

at::Tensor OpRun::operand(const std::string& argument) const {
  const ValueId id = op().tensor(argument);
  return id < 0 ? at::Tensor() : value(id);
}

Number OpRun::number(const std::string& argument) const {
  const auto* expr = std::get_if<Expr>(&op().arg(argument));
  if (expr == nullptr) throw Error("argument '" + argument + "' is no number", {op().kind, "", ""});
  Sizes sizes;
  sizes.size = [this](ValueId id, int dim) { return value(id).size(dim); };
  sizes.training = training_;
  return expr->evaluate(sizes);
}

void OpRun::run_with(const std::map<ValueId, at::Tensor>& operands) {
  Tensors saved;
  for (const auto& [id, tensor] : operands) {
    saved.push_back(value(id));
    set(id, tensor);
  }
  run();
  size_t i = 0;
  for (const auto& entry : operands) set(entry.first, saved[i++]);
}

at::Tensor OpRun::masked(ValueId operand, const std::vector<int>& dims) const {
  const auto mask = [&](const at::Tensor& dense) { return masks().masked(dense, operand, dims); };
  if (!is_parameter(operand)) return mask(value(operand));
  return services_->masked_parameters->get({operand, dims}, value(operand), mask);
}

void OpRun::run_gathered() {
  CompactForm& form = services_->compact();
  const OpId compact_op = form.producer(op().outputs.front());
  if (compact_op < 0) return run();  // a constant of the compact graph: full width is its source
  const Op& small = form.execution().graph().op(compact_op);
  Tensors scratch(form.execution().graph().values.size());
  const auto dense_values = static_cast<ValueId>(values_->size());
  for (const ValueId id : small.operands()) {
    form.bind_constant(id, scratch);
    auto& slot = scratch[static_cast<size_t>(id)];
    if (!slot.defined() && id < dense_values) slot = masks().cut(value(id), id);
  }
  for_each_expr(small, [&](const Expr& expr) {
    expr.for_each_size([&](ValueId id, int) {
      auto& slot = scratch[static_cast<size_t>(id)];
      if (slot.defined() || !value(id).defined()) return;
      slot = at::empty({}).expand(masks().cut_shape(value(id).sizes().vec(), id));
    });
  });
  form.execution().run_op(compact_op, scratch, training_);
  for (size_t i = 0; i < small.outputs.size(); ++i) {
    const ValueId id = op().outputs[i];
    const auto& result = scratch[static_cast<size_t>(small.outputs[i])];
    if (result.defined()) set(id, masks().spread(result, id));
  }
}

}  // namespace cpd
