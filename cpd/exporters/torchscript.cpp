#include <caffe2/serialize/inline_container.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/exporters/check_internal.h>
#include <cpd/exporters/export.h>
#include <cpd/exporters/graph_writer_internal.h>
#include <cpd/exporters/inputs_file.h>
#include <cpd/exporters/rebuild_internal.h>
#include <cpd/exporters/target.h>
#include <cpd/model/argument.h>
#include <cpd/model/scalar_type.h>

#include <cstring>
#include <filesystem>
#include <sstream>

namespace cpd {
namespace {

constexpr const char* kPlan = "plan.json";

std::string earlier_plan(int number) { return "plan-" + std::to_string(number) + ".json"; }

/// Shape, dtype and range of an input, as `parse_input` reads them.
std::string input_text(const at::Tensor& input) {
  std::string text;
  for (int64_t size : input.sizes()) text += (text.empty() ? "" : ",") + std::to_string(size);
  const DType dtype = dtype_of(input.scalar_type());
  if (dtype == DType::kFloat32) return text;
  text += std::string(":") + name_of(dtype);
  const bool indices = at::isIntegralType(input.scalar_type(), /*includeBool=*/false);
  if (!indices || input.numel() == 0 || input.min().item().toLong() < 0) return text;
  return text + ":" + std::to_string(input.min().item().toLong()) + "-" +
         std::to_string(input.max().item().toLong());
}

std::string inputs_text(const Model& model) {
  Json texts = Json::array();
  for (const auto& input : model.example_inputs) texts.push_back(input_text(input));
  return texts.dump();
}

/// Texts of the new file: those given, the shapes of the inputs, and the plans by which the source
/// was made, oldest first.
torch::jit::ExtraFilesMap texts_of(const Model& model, const ExportOptions& options) {
  torch::jit::ExtraFilesMap texts(options.extra_files.begin(), options.extra_files.end());
  texts[kInputsFile] = inputs_text(model);
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(model.source, ignored)) return texts;
  auto embedded = embedded_texts(model.source);
  int number = 1;
  for (; embedded.count(earlier_plan(number)) > 0; ++number) {
    texts[earlier_plan(number)] = embedded[earlier_plan(number)];
  }
  if (embedded.count(kPlan) > 0) texts[earlier_plan(number)] = embedded[kPlan];
  return texts;
}

std::string serialised(const torch::jit::Module& module, const torch::jit::ExtraFilesMap& extra) {
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
  const std::string bytes = serialised(exporters::rebuild(model), texts_of(model, options));
  result.bytes = static_cast<int64_t>(bytes.size());
  write_file(path, bytes, [&](const std::string& temporary) {
    const auto module = exporters::load(temporary, path);
    check_tensors(model, module);
    result.comparisons = exporters::compare(model, module, options.reference);
    for (const auto& comparison : result.comparisons) {
      if (comparison.ok()) continue;
      throw Error("the exported network differs: " + comparison.text(), {.path = path});
    }
  });
  return result;
}

std::map<std::string, std::string> embedded_texts(const std::string& path) {
  std::map<std::string, std::string> texts;
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    const std::string folder = "extra/";
    for (const std::string& record : reader.getAllRecords()) {
      if (record.rfind(folder, 0) != 0) continue;
      const auto [data, size] = reader.getRecord(record);
      texts[record.substr(folder.size())] = {static_cast<const char*>(data.get()), size};
    }
  } catch (const c10::Error& error) {
    throw Error("this is no TorchScript file that can be read: " + first_line(error.msg()),
                {.path = path}, "a file written by torch.jit.save");
  }
  return texts;
}

ExportResult export_network(const Model& model, const Compaction& compaction,
                            const std::string& path, const ExportOptions& options) {
  const bool state = path.ends_with(".safetensors");
  return state ? export_state_dict(model, compaction, path, options)
               : export_torchscript(model, compaction, path, options);
}

ExportResult export_torchscript(const Model& model, const Compaction& compaction,
                                const std::string& path, const ExportOptions& options) {
  return export_torchscript(compact_model(model, compaction), path, options);
}

}  // namespace cpd
