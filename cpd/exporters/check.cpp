#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros_like.h>
#include <cpd/core/error.h>
#include <cpd/exporters/check_internal.h>
#include <cpd/model/argument.h>
#include <cpd/model/execution.h>
#include <cpd/model/reference.h>
#include <cpd/model/scalar_type.h>
#include <cpd/model/size_probe.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <sstream>

namespace cpd::exporters {
namespace {

using TensorList = std::vector<at::Tensor>;

constexpr double kDoubleBound = 1e-9;
constexpr double kFloatBound = 1e-5;

/// What the interpreter says is wrong, without its trace through the code.
std::string reason_of(const std::string& message) {
  const std::string mark = "RuntimeError: ";
  const size_t at = message.rfind(mark);
  return first_line(at == std::string::npos ? message : message.substr(at + mark.size()));
}

TensorList run_module(torch::jit::Module& module, const TensorList& inputs) {
  std::vector<c10::IValue> stack(inputs.begin(), inputs.end());
  try {
    return tensors_in(module.forward(stack));
  } catch (const std::exception& error) {
    throw Error("the exported network does not run: " + reason_of(error.what()));
  }
}

TensorList run_model(const Model& model, const TensorList& inputs) {
  Tensors values(model.graph.values.size());
  for (const auto& entry : model.parameters) {
    if (entry.value >= 0) values[static_cast<size_t>(entry.value)] = entry.tensor;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[static_cast<size_t>(model.graph.inputs[i])] = inputs[i];
  }
  return Execution(model.graph).run(values);
}

at::Tensor in_double(const at::Tensor& tensor) {
  return tensor.is_floating_point() ? tensor.to(at::kDouble) : tensor;
}

TensorList in_double(TensorList tensors) {
  for (auto& tensor : tensors) tensor = in_double(tensor);
  return tensors;
}

Model in_double(Model model) {
  for (auto& entry : model.parameters) {
    if (entry.role != ParameterRole::kConstant) entry.tensor = in_double(entry.tensor.detach());
  }
  return model;
}

/// By how much a second batch differs from the example's.
int64_t other_batch(const Model& model) {
  const int64_t batch = model.example_inputs.front().size(model.free.batch_dim);
  return another_batch(batch) - batch;
}

/// The example inputs in another order, at another batch size.
TensorList with_batch(const Model& model, int64_t change) {
  TensorList inputs;
  const auto dim = static_cast<size_t>(model.free.batch_dim);
  for (size_t i = 0; i < model.example_inputs.size(); ++i) {
    const at::Tensor& input = model.example_inputs[i];
    const auto& free = model.free.dims.at(i);
    if (change == 0 || dim >= free.size() || !free[dim]) {
      inputs.push_back(input);
      continue;
    }
    const int64_t size = input.size(model.free.batch_dim);
    const auto index = at::arange(size + change, at::kLong).add(size - 1).remainder(size);
    inputs.push_back(input.index_select(model.free.batch_dim, index));
  }
  return inputs;
}

double error_of(const at::Tensor& a, const at::Tensor& b) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return infinite;
  if (a.numel() == 0) return 0;
  const at::Tensor left = a.to(at::kDouble), right = b.to(at::kDouble);
  const at::Tensor same = left.eq(right).logical_or(left.isnan().logical_and(right.isnan()));
  if (same.all().item().toBool()) return 0;
  const double difference =
      left.sub(right).abs().masked_select(same.logical_not()).max().item().toDouble();
  const at::Tensor finite = right.masked_select(right.isfinite());
  const double scale = finite.numel() == 0 ? 0 : finite.abs().max().item().toDouble();
  const double error = difference / scale;
  return std::isnan(error) ? infinite : error;
}

/// Compares one module with one network.
class Judge {
 public:
  Judge(const Model& model, torch::jit::Module module, const Forward& reference)
      : model_(model), module_(std::move(module)), reference_(reference) {}

  std::vector<Comparison> run() {
    const c10::AutoGradMode no_grad(false);
    // The profiling executor's first runs are slow and not bit-stable.
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    module_.eval();
    std::vector<int64_t> changes = {0};
    if (model_.free.batch) changes.push_back(other_batch(model_));
    std::vector<TensorList> plain_outputs;
    for (int64_t change : changes) plain_outputs.push_back(in_own_type(change));
    const Model doubled = in_double(model_);
    for (at::Tensor tensor : module_.parameters()) tensor.set_data(in_double(tensor.detach()));
    for (at::Tensor tensor : module_.buffers()) tensor.set_data(in_double(tensor.detach()));
    for (size_t i = 0; i < changes.size(); ++i) judge(doubled, changes[i], plain_outputs[i]);
    return std::move(comparisons_);
  }

 private:
  TensorList in_own_type(int64_t change) { return run_module(module_, with_batch(model_, change)); }

  /// `actual`: what the module gave in its own precision.
  void judge(const Model& doubled, int64_t change, const TensorList& actual) {
    const TensorList inputs = with_batch(model_, change);
    const TensorList expected = run_model(model_, inputs);
    const auto exact = run_in_double(doubled, in_double(inputs));
    double bound = kFloatBound;
    if (exact) {
      bound = std::max(bound, 8 * relative_error(in_double(expected), in_double(*exact)));
      add("compact network", inputs, at::kDouble,
          relative_error(run_module(module_, in_double(inputs)), *exact), kDoubleBound);
    }
    const auto type = actual.empty() ? at::kFloat : actual.front().scalar_type();
    add("compact network", inputs, type, relative_error(actual, expected), bound);
    if (reference_) {
      add("reference", inputs, type, relative_error(actual, reference_(inputs)), bound);
    }
  }

  /// Nothing if some op insists on another precision.
  static std::optional<TensorList> run_in_double(const Model& model, const TensorList& inputs) {
    try {
      return run_model(model, inputs);
    } catch (const std::exception&) {
      return std::nullopt;
    }
  }

  void add(const std::string& with, const TensorList& inputs, at::ScalarType type, double error,
           double bound) {
    const int64_t dim = model_.free.batch_dim;
    const int64_t batch = inputs.front().dim() > dim ? inputs.front().size(dim) : 1;
    comparisons_.push_back({with, batch, dtype_of(type), error, bound});
  }

  const Model& model_;
  torch::jit::Module module_;
  const Forward& reference_;
  std::vector<Comparison> comparisons_;
};

}  // namespace

double relative_error(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double error = 0;
  for (size_t i = 0; i < a.size(); ++i) error = std::max(error, error_of(a[i], b[i]));
  return error;
}

torch::jit::Module load(const std::string& path, const std::string& called) {
  try {
    return torch::jit::load(path, at::kCPU);
  } catch (const std::exception& error) {
    throw Error("this is no TorchScript file that can be read: " + first_line(error.what()),
                {.path = called.empty() ? path : called}, "a file written by torch.jit.save");
  }
}

std::vector<Comparison> compare(const Model& compact, torch::jit::Module module,
                                const Forward& reference) {
  return Judge(compact, std::move(module), reference).run();
}

}  // namespace cpd::exporters

namespace cpd {

std::string Comparison::text() const {
  std::ostringstream out;
  out << "against the " << with << ", batch of " << batch << ", in " << name_of(dtype)
      << ": relative error " << error << ", allowed " << bound;
  return out.str();
}

}  // namespace cpd
