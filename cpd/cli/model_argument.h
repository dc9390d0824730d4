#pragma once

#include <cpd/cli/command.h>
#include <cpd/model/model.h>

#include <memory>

namespace torch::nn {
class Module;
}

namespace cpd::cli {

/// Adds `--input`, `--batch-dim` and `--seed`.
void add_model_options(po::options_description& options);

/// The network that the command line names: a TorchScript file, or `zoo:NAME` with random weights,
/// which brings its own input shape.
Model read_model(const po::variables_map& values, const std::string& argument = "MODEL");

/// The same for further files that take the same inputs (`cpd compare DENSE PRUNED`).
Model read_model_file(const std::string& path, const po::variables_map& values);

uint64_t seed_of(const po::variables_map& values);

}  // namespace cpd::cli
