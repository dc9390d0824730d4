#include <cpd/cli/model_argument.h>
#include <cpd/core/error.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

namespace cpd::cli {
namespace {

std::vector<InputSpec> input_specs(const po::variables_map& values) {
  std::vector<InputSpec> specs;
  if (values.count("input") > 0) {
    for (const auto& text : values["input"].as<std::vector<std::string>>()) {
      specs.push_back(parse_input(text));
    }
  }
  return specs;
}

ImportOptions import_options(const po::variables_map& values) {
  ImportOptions options;
  options.batch_dim = values["batch-dim"].as<int>();
  options.seed = seed_of(values);
  return options;
}

Model zoo_model(const std::string& text, const po::variables_map& values) {
  const NetworkSpec spec = parse_network(text);
  auto network = make_network(spec, seed_of(values));
  network->eval();
  auto specs = input_specs(values);
  if (specs.empty()) specs.push_back(input({2, spec.channels, spec.height, spec.width}));
  if (specs.size() != 1) throw UsageError("a zoo network takes one --input");
  const at::Tensor example = random_input(specs.front(), seed_of(values));
  Model model = trace_model(network, {example}, import_options(values));
  model.source = text;
  return model;
}

}  // namespace

void add_model_options(po::options_description& options) {
  options.add_options()("input", po::value<std::vector<std::string>>(),
                        "shape of an input, batch first: 2,3,224,224 or 1,128:int64 or "
                        "1,128:int64:0-999; repeat for several inputs")(
      "batch-dim", po::value<int>()->default_value(0), "which dimension of the inputs is the batch")(
      "seed", po::value<uint64_t>()->default_value(0), "of everything that is random");
}

uint64_t seed_of(const po::variables_map& values) { return values["seed"].as<uint64_t>(); }

Model read_model_file(const std::string& path, const po::variables_map& values) {
  if (is_network_text(path)) return zoo_model(path, values);
  const auto specs = input_specs(values);
  if (specs.empty()) throw UsageError("--input is missing: the shape of the network's input");
  return load_model(path, specs, import_options(values));
}

Model read_model(const po::variables_map& values, const std::string& argument) {
  return read_model_file(values[argument].as<std::string>(), values);
}

}  // namespace cpd::cli
