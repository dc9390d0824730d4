#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/nan_to_num.h>
#include <cpd/model/execution.h>
#include <cpd/model/reference.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <limits>
#include <optional>

namespace cpd {
namespace {

void collect(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const c10::IValue& item : value.toTupleRef().elements()) collect(item, tensors);
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) collect(item, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& item : value.toGenericDict()) collect(item.value(), tensors);
  }
}

std::vector<at::Tensor> detached(std::vector<at::Tensor> tensors) {
  for (at::Tensor& tensor : tensors) tensor = tensor.detach();
  return tensors;
}

/// Keeps what buffers hold across a forward pass.
class BufferGuard {
 public:
  explicit BufferGuard(const torch::jit::Module& module) {
    for (const at::Tensor& buffer : module.buffers()) save(buffer);
  }
  explicit BufferGuard(const Model& model) {
    for (const Parameter& entry : model.parameters) {
      if (entry.role == ParameterRole::kBuffer) save(entry.tensor);
    }
  }
  ~BufferGuard() {
    const c10::AutoGradMode no_grad(false);
    for (auto& [buffer, data] : saved_) {
      if (!at::equal(buffer, data)) buffer.copy_(data);  // not every writer counts versions
    }
  }
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

 private:
  void save(const at::Tensor& buffer) { saved_.emplace_back(buffer, buffer.detach().clone()); }

  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;
};

double tensor_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return HUGE_VAL;
  if (a.numel() == 0 || at::equal(a, b)) return 0;
  const bool real = at::isFloatingType(a.scalar_type()) || at::isComplexType(a.scalar_type());
  if (!real || !at::equal(at::isnan(a), at::isnan(b))) return HUGE_VAL;
  const auto wide = [](const at::Tensor& tensor) {
    const bool complex = at::isComplexType(tensor.scalar_type());
    return at::nan_to_num(tensor.to(complex ? at::kComplexDouble : at::kDouble));
  };
  const double error = wide(a).sub(wide(b)).abs().max().item<double>();
  const double scale = wide(b).abs().max().item<double>();
  return error == 0 ? 0 : error / std::max(scale, std::numeric_limits<double>::min());
}

}  // namespace

EvaluationMode::EvaluationMode(const torch::jit::Module& module) {
  for (const torch::jit::Module& each : module.modules()) {
    const auto object = each._ivalue();
    if (!object->type()->hasAttribute("training")) continue;
    before_.emplace_back(object, object->getAttr("training").toBool());
    object->setAttr("training", false);
  }
}

EvaluationMode::~EvaluationMode() {
  for (const auto& [object, training] : before_) object->setAttr("training", training);
}

std::vector<at::Tensor> tensors_in(const c10::IValue& value) {
  std::vector<at::Tensor> tensors;
  collect(value, tensors);
  return tensors;
}

SeededRandomness::SeededRandomness(uint64_t seed) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  before_ = generator.get_state();
  generator.set_current_seed(seed);
}

SeededRandomness::~SeededRandomness() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_state(before_);
}

std::vector<at::Tensor> run_original(const torch::jit::Module& module,
                                     const std::vector<at::Tensor>& inputs) {
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  return unrecorded([&] {
    const BufferGuard buffers(module);
    std::vector<c10::IValue> arguments;
    for (const at::Tensor& tensor : inputs) arguments.emplace_back(tensor.detach().clone());
    return tensors_in(torch::jit::Module(module).forward(std::move(arguments)));
  });
}

std::vector<at::Tensor> unrecorded(const std::function<std::vector<at::Tensor>()>& forward) {
  const c10::AutoGradMode grad(true);
  try {
    const at::AutoDispatchBelowAutograd unrecorded;
    return detached(forward());
  } catch (const std::exception&) {
    return detached(forward());  // an operator of someone's own may have no kernel below autograd
  }
}

GraphRun run_graph(const Model& model, const std::vector<at::Tensor>& inputs, bool training) {
  std::optional<BufferGuard> buffers;
  if (training) buffers.emplace(model);
  const c10::AutoGradMode grad(true);
  const Execution execution(model.graph);
  Tensors values(model.graph.values.size());
  for (const Parameter& entry : model.parameters) {
    if (entry.value >= 0) values[static_cast<size_t>(entry.value)] = entry.tensor;
  }
  for (size_t i = 0; i < inputs.size(); i++) {
    values[static_cast<size_t>(model.graph.inputs.at(i))] = inputs[i];
  }
  GraphRun run;
  run.shapes.resize(values.size());
  for (size_t i = 0; i < values.size(); i++) {
    if (values[i].defined()) run.shapes[i] = values[i].sizes().vec();
  }
  for (size_t i = 0; i < model.graph.ops.size(); i++) {
    const auto op = static_cast<OpId>(i);
    execution.run_op(op, values, training);
    for (ValueId id : model.graph.ops[i].outputs) {
      at::Tensor& value = values[static_cast<size_t>(id)];
      if (!value.defined()) continue;
      run.shapes[static_cast<size_t>(id)] = value.sizes().vec();
      // A leaf of its own, so that no activation is kept for a backward pass.
      const bool grad_wanted = value.requires_grad();
      value = value.detach();
      value.requires_grad_(grad_wanted);
    }
    for (ValueId id : execution.last_uses(op)) values[static_cast<size_t>(id)].reset();
  }
  for (ValueId id : model.graph.output_values()) {
    run.outputs.push_back(values[static_cast<size_t>(id)]);
  }
  run.outputs = detached(std::move(run.outputs));
  return run;
}

double difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  if (a.size() != b.size()) return HUGE_VAL;
  double largest = 0;
  for (size_t i = 0; i < a.size(); i++) largest = std::max(largest, tensor_difference(a[i], b[i]));
  return largest;
}

}  // namespace cpd
