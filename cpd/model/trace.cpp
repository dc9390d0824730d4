#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randperm.h>
#include <cpd/core/error.h>
#include <cpd/model/import_internal.h>
#include <cpd/model/model.h>
#include <cpd/model/reference.h>
#include <cpd/model/traced_sizes.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/nn/module.h>

#include <algorithm>

namespace cpd {
namespace {

using torch::jit::Stack;

/// A TorchScript module with the same tree and the very same tensors.
torch::jit::Module mirror(const torch::nn::Module& module,
                          const std::shared_ptr<torch::jit::CompilationUnit>& unit,
                          const std::string& name) {
  torch::jit::Module copy(c10::QualifiedName("__torch__." + name), unit, /*shouldMangle=*/true);
  copy.register_attribute("training", c10::BoolType::get(), module.is_training());
  for (const auto& entry : module.named_parameters(false)) {
    copy.register_parameter(entry.key(), entry.value(), /*is_buffer=*/false);
  }
  for (const auto& entry : module.named_buffers(false)) {
    copy.register_parameter(entry.key(), entry.value(), /*is_buffer=*/true);
  }
  for (const auto& child : module.named_children()) {
    copy.register_module(child.key(), mirror(*child.value(), unit, "Module_" + child.key()));
  }
  return copy;
}

torch::jit::Module traced(torch::nn::Module& module, const Forward& forward,
                          const std::vector<at::Tensor>& inputs) {
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  torch::jit::Module copy = mirror(module, unit, "Module");
  Stack stack;
  std::vector<std::string> names;
  for (const auto& input : inputs) {
    names.push_back("input" + (inputs.size() == 1 ? "" : "_" + std::to_string(names.size())));
    stack.emplace_back(input);
  }
  const auto run = [&](const Stack& arguments) -> Stack {
    std::vector<at::Tensor> tensors;
    for (const auto& argument : arguments) tensors.push_back(argument.toTensor());
    const auto outputs = forward(tensors);
    if (outputs.empty()) throw Error("the module's forward does not take these inputs");
    if (outputs.size() == 1) return {outputs.front()};
    return {c10::ivalue::Tuple::create(std::vector<c10::IValue>(outputs.begin(), outputs.end()))};
  };
  const auto result = torch::jit::tracer::trace(
      stack, run, [](const torch::autograd::Variable&) { return std::string(); }, /*strict=*/false,
      /*force_outplace=*/false, &copy, names);
  auto graph = result.first->graph;
  torch::jit::EliminateDeadCode(graph);
  copy.type()->addMethod(
      unit->create_function(c10::QualifiedName(*copy.type()->name(), "forward"), graph));
  return copy;
}

/// Puts a C++ module in evaluation mode, and back at the end of its life.
class ModuleMode {
 public:
  explicit ModuleMode(torch::nn::Module& module) {
    module.apply([this](const std::string&, torch::nn::Module& part) { remember(part); });
    module.eval();
  }
  ~ModuleMode() {
    for (auto& [part, training] : modes_) {
      if (training) part->train(true);
    }
    for (auto& [part, training] : modes_) {
      if (!training) part->eval();
    }
  }

 private:
  void remember(torch::nn::Module& part) { modes_.emplace_back(&part, part.is_training()); }
  std::vector<std::pair<torch::nn::Module*, bool>> modes_;
};

/// Other values of the same kind: the elements in another order, and with the other sign where the
/// tensor has both.
at::Tensor other_values(const at::Tensor& example, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor order =
      at::randperm(example.numel(), generator, at::TensorOptions(at::kLong)).to(example.device());
  const at::Tensor other = example.detach().reshape({-1}).index_select(0, order);
  const bool real = at::isFloatingType(example.scalar_type()) && example.numel() > 0;
  const bool both = real && other.min().item<double>() < 0 && other.max().item<double>() > 0;
  return (both ? other.neg() : other).view(example.sizes());
}

std::vector<at::Tensor> other_values(const std::vector<at::Tensor>& examples, uint64_t seed) {
  std::vector<at::Tensor> others;
  for (const auto& example : examples) others.push_back(other_values(example, seed));
  return others;
}

/// A C++ module and the call that runs it.
class Tracer {
 public:
  Tracer(torch::nn::Module& module, const Forward& forward, const ImportOptions& options)
      : module_(module), forward_(forward), options_(options) {}

  Model run(const std::vector<at::Tensor>& inputs) const {
    const torch::jit::Module scripted = script(inputs);
    Recording recorded = record_module(scripted, inputs);
    const auto others = other_values(inputs, options_.seed);
    check_way(recorded.model.graph, record_module(script(others), others).model.graph);
    Model model = finish_import(recorded, scripted, inputs, original(), options_);
    if (!model.free.note.empty()) {  // numbers of the trace may be sizes
      follow_sizes(recorded.model.graph, other_graphs(others));
      model = finish_import(std::move(recorded), scripted, inputs, original(), options_);
    }
    check_outputs(model, others);
    return model;
  }

 private:
  torch::jit::Module script(const std::vector<at::Tensor>& inputs) const {
    const c10::AutoGradMode with_grad(true);
    return traced(module_, forward_, inputs);
  }

  Original original() const {
    return [this](const std::vector<at::Tensor>& inputs) {
      return unrecorded([&] { return forward_(inputs); });
    };
  }

  /// Traces on another batch size and another height and width, as far as the module takes them.
  std::vector<Graph> other_graphs(const std::vector<at::Tensor>& inputs) const {
    std::vector<Graph> graphs;
    for (const auto& others :
         {with_another_batch(inputs, options_.batch_dim), with_another_image_size(inputs)}) {
      if (others.empty()) continue;
      try {
        graphs.push_back(record_module(script(others), others).model.graph);
      } catch (const std::exception&) {
        // The probe of sizes tells why.
      }
    }
    return graphs;
  }

  static void check_way(const Graph& graph, const Graph& other) {
    const std::string difference = first_difference(graph, other);
    if (difference.empty()) return;
    throw Error("the module takes another way for other values of its inputs: " + difference, {},
                "control flow and numbers that do not depend on the values of inputs");
  }

  /// What no trace shows: numbers that the module worked out beside LibTorch.
  void check_outputs(const Model& model, const std::vector<at::Tensor>& inputs) const {
    const auto wanted = original()(inputs);
    const double error = difference(run_graph(model, inputs).outputs, wanted);
    if (error <= accepted_difference(wanted)) return;
    throw Error(
        "the module computes something else for other values of its inputs: relative "
        "difference " +
            std::to_string(error),
        {}, "a forward pass that is the same for all values of inputs");
  }

  torch::nn::Module& module_;
  const Forward& forward_;
  const ImportOptions& options_;
};

}  // namespace

Model trace_model(torch::nn::Module& module, const Forward& forward,
                  const std::vector<at::Tensor>& example_inputs, const ImportOptions& options) {
  const ModuleMode evaluation(module);
  std::vector<at::Tensor> inputs = example_inputs;
  const auto ones = std::all_of(inputs.begin(), inputs.end(), [&](const at::Tensor& input) {
    return input.dim() > options.batch_dim && input.size(options.batch_dim) == 1;
  });
  if (ones) {
    for (auto& input : inputs) input = at::cat({input, input}, options.batch_dim);
  }
  Model model = Tracer(module, forward, options).run(inputs);
  model.source = "C++ module";
  return model;
}

}  // namespace cpd
