#pragma once

#include <cpd/comb/compaction.h>
#include <cpd/model/model.h>
#include <cpd/plan/plan.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cpd {

class CompactModule;

struct ExportOptions {
  /// Texts that travel inside the file, by name: `plan.json`, `report.json`.
  std::map<std::string, std::string> extra_files{};
  bool force = false;  ///< replace an existing file
  /// Another way to compute the same outputs, in evaluation mode: the masked network, say. The
  /// file is compared with it too.
  Forward reference{};
};

/// Outputs of a file against those of the compact network, on one set of inputs.
struct Comparison {
  std::string with;   ///< `compact network` or `reference`
  int64_t batch = 0;  ///< batch size
  DType dtype;        ///< in which it was judged
  double error = 0;   ///< largest max|a - b| / max|b| of the outputs
  double bound = 0;   ///< what was allowed
  bool ok() const { return error <= bound; }
  std::string text() const;
};

struct ExportResult {
  std::string path;
  int64_t bytes = 0;
  std::vector<Comparison> comparisons;
  std::vector<std::string> lost;  ///< what the original had and the export has not, one line each
};

/// Writes the network as a TorchScript file with the names, the order and the flags of the
/// original's parameters and buffers. The file is written beside its final place, loaded again and
/// compared at two batch sizes before it takes its name: it is there whole and right, or not at
/// all. Plans that the model's own file was made by go along, oldest first: `plan-1.json`,
/// `plan-2.json`, ... Throws cpd::Error if the file exists (without `force`) or is the model's own
/// source, if it cannot be written, or if it does not compute what the network does.
ExportResult export_torchscript(const Model& model, const std::string& path,
                                const ExportOptions& options = {});
/// The same for the network restricted by a compaction.
ExportResult export_torchscript(const Model& model, const Compaction& compaction,
                                const std::string& path, const ExportOptions& options = {});

/// Writes all parameters and buffers by name as safetensors, for people who have the network's
/// source in Python. Of the options, `extra_files` become metadata.
ExportResult export_state_dict(const Model& model, const std::string& path,
                               const ExportOptions& options = {});
ExportResult export_state_dict(const Model& model, const Compaction& compaction,
                               const std::string& path, const ExportOptions& options = {});

/// Picks the form by the file's name: safetensors for `.safetensors`, else TorchScript.
ExportResult export_network(const Model& model, const Compaction& compaction,
                            const std::string& path, const ExportOptions& options = {});

/// The texts that travel in a TorchScript file, by name. Throws cpd::Error if it cannot be read.
std::map<std::string, std::string> embedded_texts(const std::string& path);

/// The network as a module in memory that can be trained, saved and loaded
/// (cpd/exporters/compact_module.h). It owns copies of all tensors.
std::shared_ptr<CompactModule> export_module(const Model& model);
std::shared_ptr<CompactModule> export_module(const Model& model, const Compaction& compaction);

/// What was found wrong with a file, and how its outputs compare.
struct Verification {
  std::vector<std::string> problems;  ///< one line each; empty: the file is right
  std::vector<Comparison> comparisons;
  bool ok() const { return problems.empty(); }
  std::string text() const;
};

/// Is a pruned file exactly the dense network under a plan? Names and shapes are what the plan
/// says; values are those of the dense network's kept elements, except where the plan lists a
/// refit; outputs are those of the restricted network. Throws cpd::Error if the plan was made for
/// another network or the file cannot be read.
Verification verify_export(const Model& dense, const Combing& combing, const std::string& path,
                           const Plan& plan, const Rules& rules = default_rules());

}  // namespace cpd
