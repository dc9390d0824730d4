#pragma once

#include <cpd/model/model.h>
#include <cpd/model/size_probe.h>

namespace torch::jit {
struct Module;
}

namespace cpd {

/// Runs the module once on the examples and records what it does: sizes are expressions, nothing is
/// cleaned up or compared yet.
Model record_module(const torch::jit::Module& module, const std::vector<at::Tensor>& examples);

/// The rest of an import: canonical ops, free sizes, comparison with `original`.
Model finish_import(Model model, const torch::jit::Module& module,
                    const std::vector<at::Tensor>& examples, const Original& original,
                    const ImportOptions& options);

}  // namespace cpd
