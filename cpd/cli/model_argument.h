#pragma once

#include <cpd/cli/command.h>
#include <cpd/model/model.h>

#include <memory>
#include <string>
#include <vector>

namespace cpd::cli {

/// Adds `--seed` and `--threads`.
void add_run_options(po::options_description& options);
/// Adds these, `--input` and `--batch-dim`.
void add_model_options(po::options_description& options);

/// The network that the command line names: a TorchScript file, or `zoo:NAME` with random weights,
/// which brings its own input shape, as a file that cpd has written does.
Model read_model(const po::variables_map& values, const std::string& argument = "MODEL");

/// The same for further files that take the same inputs (`cpd compare DENSE PRUNED`). `like`: a
/// file whose input shapes are taken where neither the options nor the file itself have any.
Model read_model_file(const std::string& path, const po::variables_map& values,
                      const std::string& like = "");

/// The inputs that the options or the file itself name; empty if neither does.
std::vector<InputSpec> input_specs(const po::variables_map& values, const std::string& path);

uint64_t seed_of(const po::variables_map& values);
/// Sets the number of threads of LibTorch to what `--threads` says, if it was given.
void set_threads(const po::variables_map& values);

}  // namespace cpd::cli
