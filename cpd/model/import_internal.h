#pragma once

#include <cpd/model/model.h>
#include <cpd/model/size_probe.h>

namespace torch::jit {
struct Module;
}

namespace cpd {

/// What a module did when it ran once: sizes are expressions, nothing is cleaned up or compared
/// yet.
struct Recording {
  Model model;
  bool training = false;  ///< layers train whatever mode the module is in, as in a training trace
};
Recording record_module(const torch::jit::Module& module, const std::vector<at::Tensor>& examples);

/// The rest of an import: canonical ops, free sizes, comparison with `original`.
Model finish_import(Recording recording, const torch::jit::Module& module,
                    const std::vector<at::Tensor>& examples, const Original& original,
                    const ImportOptions& options);

}  // namespace cpd
