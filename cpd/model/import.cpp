#include <ATen/core/jit_type.h>
#include <caffe2/serialize/inline_container.h>
#include <cpd/core/error.h>
#include <cpd/graph/cleanup.h>
#include <cpd/graph/shuffle.h>
#include <cpd/model/argument.h>
#include <cpd/model/import_internal.h>
#include <cpd/model/integer_inputs.h>
#include <cpd/model/interpreter.h>
#include <cpd/model/model.h>
#include <cpd/model/randomness.h>
#include <cpd/model/read_module.h>
#include <cpd/model/reference.h>
#include <cpd/model/size_probe.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <filesystem>
#include <fstream>

namespace cpd {
namespace {

bool takes_tensor(const c10::Argument& argument) {
  return argument.type()->isSubtypeOf(*c10::OptionalType::ofTensor());
}

std::string names_of(const std::vector<c10::Argument>& arguments) {
  std::string names;
  for (size_t i = 1; i < arguments.size(); i++) {
    names += (i > 1 ? ", " : "") + arguments[i].name();
    if (arguments[i].default_value()) names += " (optional)";
  }
  return names;
}

/// The arguments of `forward`, checked against the inputs that were given.
std::vector<c10::Argument> check_arguments(const torch::jit::Module& module, size_t given) {
  const auto method = module.find_method("forward");
  if (!method) throw Error("the module has no method `forward`");
  const auto& arguments = method->function().getSchema().arguments();
  size_t required = 0;
  for (size_t i = 1; i < arguments.size(); i++) required += arguments[i].default_value() ? 0 : 1;
  if (given < required || given + 1 > arguments.size()) {
    throw Error(std::to_string(given) + " inputs were given to a network that takes " +
                    (required + 1 == arguments.size() ? "" : "at least ") +
                    std::to_string(required),
                {}, "one for each of: " + names_of(arguments));
  }
  for (size_t i = 1; i <= given; i++) {
    if (takes_tensor(arguments[i])) continue;
    throw Error("the input `" + arguments[i].name() + "` of the network has the type " +
                    arguments[i].type()->str(),
                {}, "Tensor");
  }
  return {arguments.begin(), arguments.end()};
}

void clean(Model& model) {
  const auto ids = remove_dead_ops(model.graph);
  for (Parameter& entry : model.parameters) {
    if (entry.value >= 0) entry.value = ids[static_cast<size_t>(entry.value)];
  }
  std::erase_if(model.parameters, [](const Parameter& entry) {
    return entry.role == ParameterRole::kConstant && entry.value < 0;
  });
}

void note_other_methods(Model& model, const torch::jit::Module& module) {
  for (const auto& method : module.get_methods()) {
    if (method.name() == "forward") continue;
    model.notes.push_back("the method `" + method.name() + "` is not kept in an export");
  }
}

bool is_archive(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  file.read(magic, sizeof(magic));
  return file.gcount() == 4 && magic[0] == 'P' && magic[1] == 'K';
}

/// Throws cpd::Error unless the file is a complete TorchScript archive.
void check_file(const std::string& path) {
  constexpr const char* kExpected = "a TorchScript file, as torch.jit.save writes it";
  const Where where{{}, {}, path};
  std::error_code code;
  if (!std::filesystem::exists(path, code)) throw Error("there is no such file", where, kExpected);
  if (!std::filesystem::is_regular_file(path, code))
    throw Error("this is no file", where, kExpected);
  if (!is_archive(path)) throw Error("this is no TorchScript file", where, kExpected);
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    if (!reader.hasRecord("constants.pkl") || !reader.hasRecord("data.pkl")) {
      throw Error("this archive holds no TorchScript program (a state_dict or a pickled module?)",
                  where, kExpected);
    }
  } catch (const c10::Error& error) {
    throw Error(
        "the file is damaged or not complete: " + first_line(error.what_without_backtrace()), where,
        kExpected);
  }
}

}  // namespace

torch::jit::Module read_module(const std::string& path) {
  check_file(path);
  try {
    return torch::jit::load(path, at::Device(at::kCPU));
  } catch (const c10::Error& error) {
    throw Error("the file cannot be loaded: " + first_line(error.what_without_backtrace()),
                {{}, {}, path});
  } catch (const std::exception& error) {
    throw Error("the file cannot be loaded: " + first_line(error.what()), {{}, {}, path});
  }
}

Recording record_module(const torch::jit::Module& module, const std::vector<at::Tensor>& examples) {
  const EvaluationMode evaluation(module);
  const auto arguments = check_arguments(module, examples.size());
  Recorder recorder(module);
  Interpreter interpreter(recorder, module);
  Symbols inputs;
  for (size_t i = 0; i < examples.size(); i++) {
    inputs.push_back(recorder.add_input(arguments[i + 1].name(), examples[i].detach().clone()));
  }
  Recording recording{recorder.finish(interpreter.run(std::move(inputs)))};
  recording.training = recorder.has_fixed_training();
  return recording;
}

Model finish_import(Recording recording, const torch::jit::Module& module,
                    const std::vector<at::Tensor>& examples, const Original& original,
                    const ImportOptions& options) {
  const EvaluationMode evaluation(module);
  Model& model = recording.model;
  model.example_inputs = examples;
  model.source = "TorchScript module";
  model.skeleton = std::make_shared<torch::jit::Module>(module);
  write_as_linear(model.graph);
  fuse_channel_shuffles(model.graph);
  clean(model);
  probe_sizes(model, original, options, recording.training);
  if (write_stochastic_depth(model) > 0) {
    model.notes.push_back("branches that the trace drops at random: in training mode only, now");
  }
  clean(model);
  refuse_random_outputs(model);
  note_other_methods(model, module);
  model.verify();
  return std::move(model);
}

Model import_module(const torch::jit::Module& module, const std::vector<at::Tensor>& examples,
                    const ImportOptions& options) {
  const Original original = [&module](const std::vector<at::Tensor>& inputs) {
    return run_original(module, inputs);
  };
  return finish_import(record_module(module, examples), module, examples, original, options);
}

Model load_model(const std::string& path, const std::vector<at::Tensor>& examples,
                 const ImportOptions& options) {
  torch::jit::Module module = read_module(path);
  module.eval();
  Model model = import_module(module, examples, options);
  model.source = path;
  return model;
}

namespace {

std::vector<at::Tensor> drawn(const std::vector<InputSpec>& inputs, uint64_t seed) {
  std::vector<at::Tensor> examples;
  for (const InputSpec& spec : inputs) {
    examples.push_back(random_input(spec, seed + examples.size()));
  }
  return examples;
}

}  // namespace

Model load_model(const std::string& path, const std::vector<InputSpec>& inputs,
                 const ImportOptions& options) {
  Model model = load_model(path, drawn(inputs, options.seed), options);
  std::vector<InputSpec> wider = inputs;
  if (!find_ranges(model.graph, wider)) return model;
  return load_model(path, drawn(wider, options.seed), options);
}

}  // namespace cpd
