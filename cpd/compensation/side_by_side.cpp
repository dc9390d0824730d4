#include <ATen/core/grad_mode.h>
#include <cpd/compensation/side_by_side.h>
#include <cpd/core/memory.h>
#include <cpd/core/progress.h>
#include <cpd/importance/calibration.h>

#include <memory>
#include <numeric>

namespace cpd {
namespace {

/// Below it, differences are those of rounding.
constexpr double kRounding = 1e-5;

}  // namespace

SideBySide::SideBySide(const Model& model, const Model& changed, const Combing& combing,
                       const Keep& keep, const Rules& rules, const CalibrationData& data)
    : model_(model),
      changed_(changed),
      dropped_(model.graph, combing, keep),
      execution_(model.graph),
      masks_(model.graph, combing),
      form_(changed, combing, keep, rules),
      data_(data) {
  masks_.set_keep(keep);
  for (const auto& batch : data) {
    Tensors& dense = dense_.emplace_back(model.graph.values.size());
    Tensors& pruned = pruned_.emplace_back(graph().values.size());
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
      const auto input = static_cast<size_t>(model.graph.inputs[i]);
      dense[input] = pruned[input] = batch.inputs[i].detach();
    }
    for (const auto& parameter : model.parameters) {
      if (parameter.value < 0) continue;
      dense[static_cast<size_t>(parameter.value)] = parameter.tensor.detach();
    }
    form_.bind(pruned);
    samples_.push_back(samples_in(model, batch));
  }
}

int64_t SideBySide::samples() const {
  return std::accumulate(samples_.begin(), samples_.end(), int64_t{0});
}

void SideBySide::run(const Visitor& visitor, const std::string& title) {
  const at::NoGradGuard no_grad;
  const auto count = static_cast<OpId>(graph().ops.size());
  const auto progress = title.empty() ? nullptr : std::make_unique<Progress>(title, count);
  give_back_freed_memory();
  OpId done = 0;  // ops of the dense network
  for (OpId op = 0; op < count; ++op) {
    const OpId twin = compaction().dense_ops[static_cast<size_t>(op)];
    const bool looks = visitor.looks_at(graph().op(op));
    for (size_t b = 0; b < batches(); ++b) {
      run_dropped(b, done, twin);
      if (looks && !visitor.needs_outputs) continue;
      execution_.run_op(twin, dense_[b]);
      if (!looks) run_pruned(b, op, twin);
    }
    if (looks) {
      give_back_freed_memory();
      visitor.visit(op);
      for (size_t b = 0; b < batches(); ++b) {
        if (!visitor.needs_outputs) execution_.run_op(twin, dense_[b]);
        run_pruned(b, op, twin);
      }
    }
    give_back_freed_memory();
    done = twin + 1;
    if (progress) progress->update(op + 1);
  }
}

void SideBySide::run_dropped(size_t batch, OpId begin, OpId end) {
  for (OpId op = begin; op < end; ++op) {
    execution_.run_op(op, dense_[batch]);
    free_after(execution_, op, dense_[batch]);
  }
}

void SideBySide::run_pruned(size_t batch, OpId op, OpId twin) {
  form_.execution().run_op(op, pruned_[batch]);
  free_after(execution_, twin, dense_[batch]);
  free_after(form_.execution(), op, pruned_[batch]);
}

void SideBySide::free_after(const Execution& execution, OpId op, Tensors& values) {
  for (ValueId dead : execution.last_uses(op)) values[static_cast<size_t>(dead)] = at::Tensor();
}

ValueId SideBySide::twin(OpId reader, ValueId operand) const {
  if (!dropped_.any()) return operand;
  const Op& op = model_.graph.op(compaction().dense_ops[static_cast<size_t>(reader)]);
  for (ValueId dense : op.operands()) {
    if (dropped_.resolved(dense) == operand) return dense;
  }
  return operand;
}

bool SideBySide::differs(OpId reader, ValueId operand) const {
  if (masks_.cuts(operand)) return true;
  const at::Tensor &a = pruned(0, operand), &b = whole(0, twin(reader, operand));
  if (!a.is_floating_point() || a.numel() == 0) return !a.equal(b);
  return a.sub(b).abs().max().item<double>() > kRounding * b.abs().max().item<double>();
}

void SideBySide::set_parameter(ValueId value, const at::Tensor& tensor) {
  set_[value] = tensor;
  for (auto& values : pruned_) values[static_cast<size_t>(value)] = tensor;
}

std::map<std::string, at::Tensor> SideBySide::values_set() const {
  std::map<std::string, at::Tensor> values;
  for (const auto& [value, tensor] : set_) {
    const Parameter& parameter = changed_.parameter(value);
    const auto how = compaction().gathers.find(value);
    const bool whole = how == compaction().gathers.end();
    const at::Tensor full = parameter.tensor.detach();
    values[parameter.name] = whole ? tensor : scatter(full, tensor, how->second);
  }
  return values;
}

double SideBySide::output_error() const {
  double difference = 0, size = 0;
  for (size_t b = 0; b < batches(); ++b) add_error(b, pruned_[b], difference, size);
  return size > 0 ? difference / size : 0;
}

double SideBySide::output_error_before() {
  const at::NoGradGuard no_grad;
  double difference = 0, size = 0;
  for (size_t b = 0; b < batches(); ++b) {
    Tensors values(graph().values.size());
    for (size_t i = 0; i < data_[b].inputs.size(); ++i) {
      values[static_cast<size_t>(graph().inputs[i])] = data_[b].inputs[i].detach();
    }
    form_.bind(values);
    for (OpId op = 0; op < static_cast<OpId>(graph().ops.size()); ++op) {
      form_.execution().run_op(op, values);
      free_after(form_.execution(), op, values);
    }
    add_error(b, values, difference, size);
  }
  return size > 0 ? difference / size : 0;
}

void SideBySide::add_error(size_t batch, const Tensors& pruned, double& difference,
                           double& size) const {
  const at::NoGradGuard no_grad;
  for (ValueId value : model_.graph.output_values()) {
    const at::Tensor &expected = whole(batch, value),
                     &actual = at(pruned, dropped_.resolved(value));
    if (!expected.is_floating_point()) continue;
    const at::Tensor wide = expected.to(at::kDouble);
    difference += wide.sub(actual.to(at::kDouble)).square().sum().item<double>();
    size += wide.square().sum().item<double>();
  }
}

}  // namespace cpd
