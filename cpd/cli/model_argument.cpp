#include <ATen/Parallel.h>
#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/core/json.h>
#include <cpd/exporters/export.h>
#include <cpd/exporters/inputs_file.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

#include <filesystem>

namespace cpd::cli {
namespace {

/// What cpd wrote into a file about its inputs; empty if it is no file of cpd's.
std::vector<InputSpec> embedded_specs(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return {};
  std::vector<std::string> texts;
  try {
    const auto embedded = embedded_texts(path);
    const auto found = embedded.find(kInputsFile);
    if (found == embedded.end()) return {};
    read_json(parse_json(found->second, kInputsFile), kInputsFile, texts);
  } catch (const Error&) {
    return {};  // reading the network itself will tell what is wrong with the file
  }
  std::vector<InputSpec> specs;
  for (const auto& text : texts) specs.push_back(parse_input(text));
  return specs;
}

ImportOptions import_options(const po::variables_map& values) {
  ImportOptions options;
  if (given(values, "batch-dim")) {
    options.batch_dim = static_cast<int>(whole_of(values, "batch-dim", 0, 100));
  }
  options.seed = seed_of(values);
  return options;
}

Model zoo_model(const std::string& text, const po::variables_map& values) {
  const NetworkSpec spec = parse_network(text);
  auto network = make_network(spec, seed_of(values));
  network->eval();
  auto specs = input_specs(values, "");
  if (specs.empty()) specs.push_back(input({2, spec.channels, spec.height, spec.width}));
  if (specs.size() != 1) throw UsageError("a zoo network takes one --input");
  const at::Tensor example = random_input(specs.front(), seed_of(values));
  const Forward outputs = [&](const std::vector<at::Tensor>& images) {
    return network->outputs(images.front());
  };
  Model model = trace_model(*network, outputs, {example}, import_options(values));
  model.source = text;
  return model;
}

}  // namespace

void add_run_options(po::options_description& options) {
  options.add_options()("seed", value("N")->default_value("0"), "of everything that is random")(
      "threads", value("N"), "threads that LibTorch computes with");
}

void add_model_options(po::options_description& options) {
  options.add_options()("input", values("SHAPE"),
                        "shape of an input, batch first: 2,3,224,224 or 1,128:int64 or "
                        "1,128:int64:0-999; once for each input")(
      "batch-dim", value("N")->default_value("0"), "which dimension of the inputs is the batch");
  add_run_options(options);
}

uint64_t seed_of(const po::variables_map& values) {
  return static_cast<uint64_t>(whole_of(values, "seed", 0));
}

void set_threads(const po::variables_map& values) {
  constexpr int64_t kMost = 4096;
  if (!given(values, "threads")) return;
  at::set_num_threads(static_cast<int>(whole_of(values, "threads", 1, kMost)));
}

std::vector<InputSpec> input_specs(const po::variables_map& values, const std::string& path) {
  std::vector<InputSpec> specs;
  for (const auto& text : texts_of(values, "input")) {
    specs.push_back(as_usage("input", [&] { return parse_input(text); }));
  }
  return specs.empty() ? embedded_specs(path) : specs;
}

Model read_model_file(const std::string& path, const po::variables_map& values,
                      const std::string& like) {
  set_threads(values);
  if (is_network_text(path)) return zoo_model(path, values);
  auto specs = input_specs(values, path);
  if (specs.empty() && !like.empty()) specs = embedded_specs(like);
  if (specs.empty() && std::filesystem::exists(path)) {
    throw UsageError("--input is missing: the shape of the input of " + path +
                     ", such as --input 2,3,224,224");
  }
  return load_model(path, specs, import_options(values));
}

Model read_model(const po::variables_map& values, const std::string& argument) {
  return read_model_file(text_of(values, argument), values);
}

}  // namespace cpd::cli
