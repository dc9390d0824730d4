#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/core/json.h>

#include <map>
#include <string>

namespace cpd {

/// Everything that a run needs to go on as if it had never stopped: facts as JSON, tensors by name
/// (`parameter.conv1.weight`, `optimiser.conv1.weight.momentum_buffer`, `average.conv1.weight`).
struct Checkpoint {
  Json facts = Json::object();
  std::map<std::string, at::Tensor> tensors{};

  /// Tensors whose names begin with `prefix`, without it.
  std::map<std::string, at::Tensor> under(const std::string& prefix) const;
  /// Adds them with the prefix; copies, on the CPU.
  void add(const std::string& prefix, const std::map<std::string, at::Tensor>& named);
};

/// Writes a checkpoint whole or not at all. Python's `torch.load` reads it as a dictionary. Throws
/// cpd::Error that names the file.
void save_checkpoint(const Checkpoint& checkpoint, const std::string& path);
/// Throws cpd::Error that names the file: missing, truncated, no checkpoint, or of a newer version.
Checkpoint load_checkpoint(const std::string& path);

}  // namespace cpd
