#pragma once

#include <cpd/model/model.h>
#include <torch/csrc/jit/api/module.h>

namespace cpd::exporters {

/// A TorchScript module with the module tree of the model's skeleton (attribute names, order,
/// flags and constants), the tensors of its table, and one flat `forward`. What a dropped block
/// owned is left out. Tensors share memory with the model; shared tensors stay shared. Throws
/// cpd::Error.
torch::jit::Module rebuild(const Model& model);

/// What the rebuilt module does not have any more, one line each: `forward` of submodules, further
/// exported methods, arguments with defaults.
std::vector<std::string> lost_in_rebuild(const Model& model);

}  // namespace cpd::exporters
