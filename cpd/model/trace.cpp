#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <cpd/core/error.h>
#include <cpd/model/model.h>
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

class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& module) {
    module.apply([this](const std::string&, torch::nn::Module& part) { remember(part); });
    module.eval();
  }
  ~EvaluationMode() {
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

}  // namespace

Model trace_model(torch::nn::Module& module, const Forward& forward,
                  const std::vector<at::Tensor>& example_inputs, const ImportOptions& options) {
  const EvaluationMode evaluation(module);
  std::vector<at::Tensor> inputs = example_inputs;
  const auto ones = std::all_of(inputs.begin(), inputs.end(), [&](const at::Tensor& input) {
    return input.dim() > options.batch_dim && input.size(options.batch_dim) == 1;
  });
  if (ones) {
    for (auto& input : inputs) input = at::cat({input, input}, options.batch_dim);
  }
  torch::jit::Module scripted;
  {
    c10::AutoGradMode with_grad(true);
    scripted = traced(module, forward, inputs);
  }
  Model model = import_module(scripted, inputs, options);
  model.source = "C++ module";
  return model;
}

}  // namespace cpd
