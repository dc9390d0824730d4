#include <ATen/core/grad_mode.h>
#include <cpd/comb/constants.h>

namespace cpd {

void ConstantValues::load_table() {
  values_.resize(model_.graph.values.size());
  for (const auto& parameter : model_.parameters) {
    if (parameter.value >= 0 && parameter.role != ParameterRole::kParameter) {
      values_[static_cast<size_t>(parameter.value)] = parameter.tensor;
    }
  }
}

at::Tensor ConstantValues::operator()(ValueId value) {
  if (values_.empty()) load_table();
  const auto at = static_cast<size_t>(value);
  const OpId producer = model_.graph.value(value).producer;
  if (values_[at].defined() || producer < 0) return values_[at];
  for (ValueId operand : model_.graph.op(producer).operands()) {
    if (!(*this)(operand).defined()) return {};
  }
  if (!execution_) execution_ = std::make_unique<Execution>(model_.graph);
  const c10::AutoGradMode no_grad(false);
  execution_->run_op(producer, values_);
  return values_[at];
}

}  // namespace cpd
