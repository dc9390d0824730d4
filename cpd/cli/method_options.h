#pragma once

#include <cpd/algorithms/method.h>
#include <cpd/cli/command.h>
#include <cpd/model/model.h>

#include <string>
#include <vector>

namespace cpd::cli {

/// Adds what says which channels may go: `--divisor`, `--freeze`, `--groups` ...
void add_unit_options(po::options_description& options);
/// Adds what says how channels are chosen: `--importance`, `--allocation`, `--config` ...
void add_method_options(po::options_description& options);
/// Adds what says how much is kept: `--macs`, `--ratio` ...
void add_budget_options(po::options_description& options);

/// The configuration file, if one is given, with the options of the command line over it. Budgets
/// of the command line are not in it: `budgets_of` reads them. Throws UsageError or cpd::Error.
MethodOptions method_options(const po::variables_map& values);
/// Sets what the options of units say. Throws UsageError.
void set_unit_options(const po::variables_map& values, MutatorOptions& options);
/// What an edited groups file adds, which can be read only with the network.
void read_groups(const po::variables_map& values, const Model& model, MutatorOptions& options);

/// A budget, and what the names of its files end in: nothing, or `_30` for the 30 percent that a
/// level of a list removes.
struct Level {
  Budget budget{};
  std::string suffix{};
};

/// One level for each entry of the budget that is a list, else one; the options' budgets over those
/// of the configuration. Throws UsageError.
std::vector<Level> budgets_of(const po::variables_map& values, const Budget& config);

/// The percentage that is removed where a fraction is kept: `_30`, `_12.5`.
std::string removed_suffix(double kept);
/// `net.pt` and `_30` make `net_30.pt`.
std::string with_suffix(const std::string& path, const std::string& suffix);

}  // namespace cpd::cli
