#pragma once

#include <cpd/exporters/export.h>
#include <torch/csrc/jit/api/module.h>

namespace cpd::exporters {

/// Loads a TorchScript file to the CPU; throws cpd::Error that names it, by another name if given.
torch::jit::Module load(const std::string& path, const std::string& called = "");

/// Compares a module with the compact network at one or two batch sizes: in double precision where
/// the graph runs in it, else in its own. Throws cpd::Error if the module does not run.
std::vector<Comparison> compare(const Model& compact, torch::jit::Module module,
                                const Forward& reference = nullptr);

/// max|a - b| / max|b| over all outputs; infinite if they differ in number, shape or dtype.
double relative_error(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b);

}  // namespace cpd::exporters
