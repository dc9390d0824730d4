#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/exporters/export.h>
#include <cpd/exporters/target.h>
#include <cpd/model/scalar_type.h>
#include <torch/csrc/jit/api/module.h>

#include <cstring>
#include <unordered_map>

namespace cpd {
namespace {

using Named = std::vector<std::pair<std::string, at::Tensor>>;

/// The names of safetensors.
const char* safetensors_type(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
      return "U8";
    case DType::kInt8:
      return "I8";
    case DType::kInt16:
      return "I16";
    case DType::kInt32:
      return "I32";
    case DType::kInt64:
      return "I64";
    case DType::kFloat16:
      return "F16";
    case DType::kBFloat16:
      return "BF16";
    case DType::kFloat32:
      return "F32";
    case DType::kFloat64:
      return "F64";
    case DType::kBool:
      return "BOOL";
    case DType::kComplex64:
      return "C64";
    case DType::kComplex128:
      break;
  }
  throw Error("safetensors has no type for complex128");
}

/// In the order of Python's `state_dict()`: of each module parameters, buffers, then submodules.
void collect(const torch::jit::Module& module, const std::string& prefix, Named& named) {
  const auto type = module.type();
  for (const bool buffers : {false, true}) {
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const std::string& name = type->getAttributeName(i);
      const bool wanted = buffers ? type->is_buffer(i) : type->is_parameter(i);
      const c10::IValue value = module.attr(name);
      if (wanted && value.isTensor() && value.toTensor().defined()) {
        named.emplace_back(prefix + name, value.toTensor());
      }
    }
  }
  for (size_t i = 0; i < type->numAttributes(); ++i) {
    const std::string& name = type->getAttributeName(i);
    if (type->getAttribute(i)->is_module()) {
      collect(module.attr(name).toModule(), prefix + name + ".", named);
    }
  }
}

Named state_of(const Model& model) {
  if (!model.skeleton) throw Error("the model has no module tree", {}, "a model made by an import");
  Named named;
  collect(*model.skeleton, "", named);
  std::unordered_map<std::string, at::Tensor> tensors;
  for (const auto& entry : model.parameters) {
    tensors[entry.name] = entry.tensor;
    for (const auto& alias : entry.aliases) tensors[alias] = entry.tensor;
  }
  Named result;
  for (const auto& [name, tensor] : named) {
    const auto known = tensors.find(name);
    if (known == tensors.end()) continue;  // dropped
    result.emplace_back(name, known->second.detach().cpu().contiguous());
  }
  return result;
}

std::string header_of(const Named& named, const ExportOptions& options) {
  Json header = Json::object();
  Json& metadata = header["__metadata__"];
  metadata["format"] = "pt";
  for (const auto& [name, text] : options.extra_files) metadata[name] = text;
  size_t start = 0;
  for (const auto& [name, tensor] : named) {
    Json& entry = header[name];
    entry["dtype"] = safetensors_type(dtype_of(tensor.scalar_type()));
    entry["shape"] = tensor.sizes().vec();
    entry["data_offsets"] = {start, start + tensor.nbytes()};
    start += tensor.nbytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

ExportResult export_state_dict(const Model& model, const std::string& path,
                               const ExportOptions& options) {
  exporters::check_target(model, path, options.force);
  const Named named = state_of(model);
  const std::string header = header_of(named, options);
  std::string bytes;
  for (uint64_t rest = header.size(), i = 0; i < 8; ++i, rest >>= 8) {
    bytes += static_cast<char>(rest & 255);
  }
  bytes += header;
  for (const auto& [name, tensor] : named) {
    bytes.append(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  write_file(path, bytes);
  return {path, static_cast<int64_t>(bytes.size()), {}, {}};
}

ExportResult export_state_dict(const Model& model, const Compaction& compaction,
                               const std::string& path, const ExportOptions& options) {
  return export_state_dict(compact_model(model, compaction), path, options);
}

}  // namespace cpd
