#pragma once

#include <string>

namespace torch::jit {
struct Module;
}

namespace cpd {

/// Reads a TorchScript file to the CPU. Throws cpd::Error that names the file: missing, damaged, no
/// TorchScript.
torch::jit::Module read_module(const std::string& path);

}  // namespace cpd
