#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <cpd/core/error.h>
#include <cpd/graph/shuffle.h>
#include <cpd/model/execution.h>
#include <cpd/model/import/cleanup.h>
#include <cpd/model/import/interpreter_internal.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace cpd {
namespace {

using import::Interpreter;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void collect(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) collect(item, tensors);
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) collect(item, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) collect(entry.value(), tensors);
  }
}

std::vector<at::Tensor> call(const torch::jit::Module& module,
                             const std::vector<at::Tensor>& inputs) {
  torch::jit::Module copy = module;
  std::vector<c10::IValue> stack;
  for (const auto& input : inputs) stack.emplace_back(input.clone());
  std::vector<at::Tensor> outputs;
  collect(copy.forward(stack), outputs);
  return outputs;
}

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0 || a.equal(b)) return 0;
  const at::Tensor left = a.to(at::kDouble), right = b.to(at::kDouble);
  const double scale = right.abs().max().item().toDouble();
  const double error = left.sub(right).abs().max().item().toDouble();
  return error / std::max(scale, 1e-30);
}

bool close(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].sizes() != b[i].sizes() || a[i].scalar_type() != b[i].scalar_type()) return false;
    if (!(relative_error(a[i], b[i]) <= 1e-5)) return false;
  }
  return true;
}

/// All values of one run; throws whatever an op throws.
Tensors run_all(const Model& model, const std::vector<at::Tensor>& inputs) {
  const Execution execution(model.graph);
  Tensors values(model.graph.values.size());
  for (const auto& parameter : model.parameters) {
    if (parameter.value >= 0) values[static_cast<size_t>(parameter.value)] = parameter.tensor;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[static_cast<size_t>(model.graph.inputs[i])] = inputs[i];
  }
  for (size_t op = 0; op < model.graph.ops.size(); ++op) {
    execution.run_op(static_cast<OpId>(op), values);
  }
  return values;
}

std::vector<at::Tensor> outputs_of(const Model& model, const Tensors& values) {
  std::vector<at::Tensor> outputs;
  for (ValueId value : model.graph.output_values())
    outputs.push_back(values[static_cast<size_t>(value)]);
  return outputs;
}

/// Finds which sizes follow the inputs by running other sizes and comparing with the original.
class SizeProbe {
 public:
  SizeProbe(Model& model, const torch::jit::Module& module, const ImportOptions& options)
      : model_(model), module_(module), options_(options) {
    for (const auto& value : model.graph.values) {
      free_.emplace_back(value.shape.size(), false);
    }
  }

  void run() {
    FreeSizes& free = model_.free;
    free.batch_dim = options_.batch_dim;
    for (const auto& tensor : model_.example_inputs) {
      free.dims.emplace_back(static_cast<size_t>(tensor.dim()), false);
    }
    if (!options_.probe_sizes) return;
    free.batch = probe(
        {options_.batch_dim}, [](int64_t n) { return n + 1; }, "batch size");
    const bool images = std::any_of(model_.example_inputs.begin(), model_.example_inputs.end(),
                                    [](const at::Tensor& t) { return t.dim() == 4; });
    if (images)
      probe(
          {2, 3}, [](int64_t n) { return n + 32; }, "height and width");
    fold();
  }

 private:
  bool probe(const std::vector<int>& dims, const std::function<int64_t(int64_t)>& other,
             const std::string& what) {
    std::vector<at::Tensor> inputs;
    for (const auto& tensor : model_.example_inputs) {
      at::Tensor input = tensor;
      for (int dim : dims) {
        if (dim >= input.dim() || (dims.size() > 1 && tensor.dim() != 4)) continue;
        const int64_t want = other(input.size(dim));
        std::vector<int64_t> index;
        for (int64_t i = 0; i < want; ++i) index.push_back(i % input.size(dim));
        input = input.index_select(dim, at::tensor(at::ArrayRef<int64_t>(index), at::kLong));
      }
      inputs.push_back(input);
    }
    try {
      const auto expected = call(module_, inputs);
      const Tensors values = run_all(model_, inputs);
      if (!close(outputs_of(model_, values), expected)) throw Error("outputs differ");
      note_changes(values);
      for (size_t i = 0; i < inputs.size(); ++i) {
        for (size_t d = 0; d < model_.free.dims[i].size(); ++d) {
          if (inputs[i].size(static_cast<int64_t>(d)) !=
              model_.example_inputs[i].size(static_cast<int64_t>(d))) {
            model_.free.dims[i][d] = true;
          }
        }
      }
      return true;
    } catch (const std::exception& error) {
      if (!model_.free.note.empty()) model_.free.note += "; ";
      model_.free.note += what + " fixed by the network: " + first_line(error.what());
      return false;
    }
  }

  void note_changes(const Tensors& values) {
    for (size_t v = 0; v < values.size(); ++v) {
      const auto& value = model_.graph.values[v];
      for (size_t d = 0; d < value.shape.size(); ++d) {
        if (values[v].size(static_cast<int64_t>(d)) != value.shape[d]) free_[v][d] = true;
      }
    }
  }

  /// Sizes that no probe changed are constants.
  void fold() {
    import::map_expressions(model_.graph, [this](const Expr& expr) {
      return expr.map_leaves([this](const Expr& leaf) {
        if (leaf.kind() != Expr::Kind::kSize) return leaf;
    const auto& dims = free_[static_cast<size_t>(leaf.size_value())];
    return dims[static_cast<size_t>(leaf.size_dim())] ? leaf : Expr::constant(leaf.dense());
  });
    });
    }  // namespace

    Model& model_;
    const torch::jit::Module& module_;
    const ImportOptions& options_;
    std::vector<std::vector<bool>> free_;
    };  // namespace cpd

    void check_inputs(const std::vector<at::Tensor>& inputs) {
      if (inputs.empty())
        throw Error("the network was given no input", {}, "one example of each input");
      for (const auto& input : inputs) {
        if (!input.defined()) throw Error("an example input is an undefined tensor");
      }
    }

    /// The same inputs with a batch of 2 where it was 1: a size of 1 says nothing about a
    /// dimension.
    std::vector<at::Tensor> doubled(const std::vector<at::Tensor>& inputs, int batch_dim) {
      std::vector<at::Tensor> result;
      for (const auto& input : inputs) {
        if (input.dim() <= batch_dim || input.size(batch_dim) != 1) return inputs;
        result.push_back(at::cat({input, input}, batch_dim));
      }
      return result;
    }

    Model interpret(const torch::jit::Module& module, const std::vector<at::Tensor>& inputs) {
      Interpreter interpreter(module, inputs);
      Model model = interpreter.run();
      fuse_channel_shuffles(model.graph);
      import::drop_dead(model);
      std::vector<at::Tensor> expected;
      collect(interpreter.result(), expected);
      const auto outputs = outputs_of(model, run_all(model, inputs));
      if (!close(outputs, expected)) {
        throw Error("the imported graph does not compute what the network does");
      }
      return model;
    }

    }  // namespace

    Model import_module(const torch::jit::Module& module,
                        const std::vector<at::Tensor>& example_inputs,
                        const ImportOptions& options) {
      check_inputs(example_inputs);
      const c10::AutoGradMode no_grad(false);
      torch::jit::Module evaluated = module;
      evaluated.eval();
      Model model;
      const auto two = doubled(example_inputs, options.batch_dim);
      try {
        model = interpret(evaluated, two);
      } catch (const std::exception&) {
        if (two[0].sizes() == example_inputs[0].sizes()) throw;
        model = interpret(evaluated, example_inputs);
      }
      SizeProbe(model, evaluated, options).run();
      import::drop_dead(model);
      model.skeleton = std::make_shared<torch::jit::Module>(module);
      model.source = "TorchScript module";
      model.verify();
      return model;
    }

    Model load_model(const std::string& path, const std::vector<at::Tensor>& example_inputs,
                     const ImportOptions& options) {
      if (!std::filesystem::exists(path))
        throw Error("there is no such file", {"", "", path}, "a TorchScript file");
      torch::jit::Module module;
      try {
        module = torch::jit::load(path, at::kCPU);
      } catch (const std::exception& error) {
        throw Error("this is no TorchScript file that can be read: " + first_line(error.what()),
                    {"", "", path}, "a file written by torch.jit.save");
      }
      Model model = import_module(module, example_inputs, options);
      model.source = path;
      return model;
    }

    Model load_model(const std::string& path, const std::vector<InputSpec>& inputs,
                     const ImportOptions& options) {
      std::vector<at::Tensor> tensors;
      for (size_t i = 0; i < inputs.size(); ++i)
        tensors.push_back(random_input(inputs[i], options.seed + i));
      return load_model(path, tensors, options);
    }

    }  // namespace cpd
