#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/exporters/check_internal.h>
#include <cpd/exporters/export.h>
#include <cpd/exporters/graph_writer_internal.h>
#include <cpd/exporters/rebuild_internal.h>
#include <cpd/exporters/target.h>
#include <cpd/model/argument.h>

#include <cstring>
#include <sstream>

namespace cpd {
namespace {

std::string serialised(const torch::jit::Module& module, const ExportOptions& options) {
  torch::jit::ExtraFilesMap extra(options.extra_files.begin(), options.extra_files.end());
  std::ostringstream stream;
  try {
    module.save(stream, extra);
  } catch (const std::exception& error) {
    throw Error("the network cannot be written as TorchScript: " + first_line(error.what()));
  }
  return std::move(stream).str();
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  const at::Tensor left = a.detach().contiguous(), right = b.detach().cpu().contiguous();
  return std::memcmp(left.const_data_ptr(), right.const_data_ptr(), left.nbytes()) == 0;
}

/// Every tensor of the table is in the file under all of its names, bit by bit.
void check_tensors(const Model& model, const torch::jit::Module& module) {
  const auto check = [&](const std::string& name, const at::Tensor& expected) {
    const auto [owner, slot] = exporters::find_attribute(module, name);
    const bool there = slot >= 0 && owner._ivalue()->getSlot(static_cast<size_t>(slot)).isTensor();
    if (there &&
        same_bits(owner._ivalue()->getSlot(static_cast<size_t>(slot)).toTensor(), expected)) {
      return;
    }
    throw Error("'" + name + "' is not in the exported network as it should be");
  };
  for (const auto& entry : model.parameters) {
    if (entry.role == ParameterRole::kConstant) continue;
    check(entry.name, entry.tensor);
    for (const auto& alias : entry.aliases) check(alias, entry.tensor);
  }
}

}  // namespace

ExportResult export_torchscript(const Model& model, const std::string& path,
                                const ExportOptions& options) {
  exporters::check_target(model, path, options.force);
  ExportResult result;
  result.path = path;
  result.lost = exporters::lost_in_rebuild(model);
  const std::string bytes = serialised(exporters::rebuild(model), options);
  result.bytes = static_cast<int64_t>(bytes.size());
  write_file(path, bytes, [&](const std::string& temporary) {
    const auto module = exporters::load(temporary);
    check_tensors(model, module);
    result.comparisons = exporters::compare(model, module, options.reference);
    for (const auto& comparison : result.comparisons) {
      if (comparison.ok()) continue;
      throw Error("the exported network differs: " + comparison.text(), {.path = path});
    }
  });
  return result;
}

ExportResult export_torchscript(const Model& model, const Compaction& compaction,
                                const std::string& path, const ExportOptions& options) {
  return export_torchscript(compact_model(model, compaction), path, options);
}

}  // namespace cpd
