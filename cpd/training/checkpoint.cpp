#include <ATen/core/Dict.h>
#include <ATen/core/ivalue.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/training/checkpoint.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <string_view>
#include <vector>

namespace cpd {
namespace {

constexpr const char* kFormat = "cpd-checkpoint";
constexpr int64_t kVersion = 1;

[[noreturn]] void throw_foreign(const std::string& path) {
  throw Error("the file is no checkpoint, or not all of one", {.path = path},
              "a file that a training run of cpd has written");
}

c10::IValue unpickled(const std::string& path) {
  const std::string bytes = read_file(path);
  try {
    return torch::jit::pickle_load(std::vector<char>(bytes.begin(), bytes.end()));
  } catch (const std::exception&) {
    throw_foreign(path);
  }
}

void check_format(const Json& facts, const std::string& path) {
  if (facts.value("format", "") != kFormat) throw_foreign(path);
  const int64_t version = facts.value("version", int64_t{0});
  if (version > kVersion) {
    throw Error("the checkpoint is of version " + std::to_string(version), {.path = path},
                "at most version " + std::to_string(kVersion));
  }
}

}  // namespace

std::map<std::string, at::Tensor> Checkpoint::under(const std::string& prefix) const {
  std::map<std::string, at::Tensor> result;
  for (auto it = tensors.lower_bound(prefix);
       it != tensors.end() && std::string_view(it->first).starts_with(prefix); ++it) {
    result[it->first.substr(prefix.size())] = it->second;
  }
  return result;
}

void Checkpoint::add(const std::string& prefix, const std::map<std::string, at::Tensor>& named) {
  for (const auto& [name, tensor] : named) {
    tensors[prefix + name] = tensor.detach().to(at::kCPU).clone();
  }
}

void save_checkpoint(const Checkpoint& checkpoint, const std::string& path) {
  c10::Dict<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : checkpoint.tensors) tensors.insert(name, tensor);
  Json facts = checkpoint.facts;
  facts["format"] = kFormat;
  facts["version"] = kVersion;
  c10::impl::GenericDict file(c10::StringType::get(), c10::AnyType::get());
  file.insert("facts", json_text(facts));
  file.insert("tensors", tensors);
  const std::vector<char> bytes = torch::jit::pickle_save(file);
  write_file(path, std::string_view(bytes.data(), bytes.size()));
}

Checkpoint load_checkpoint(const std::string& path) {
  const c10::IValue value = unpickled(path);
  if (!value.isGenericDict()) throw_foreign(path);
  const auto file = value.toGenericDict();
  const auto facts = file.find("facts");
  const auto tensors = file.find("tensors");
  if (facts == file.end() || tensors == file.end() || !facts->value().isString() ||
      !tensors->value().isGenericDict()) {
    throw_foreign(path);
  }
  Checkpoint checkpoint;
  checkpoint.facts = parse_json(facts->value().toStringRef(), path);
  check_format(checkpoint.facts, path);
  for (const auto& entry : tensors->value().toGenericDict()) {
    if (!entry.key().isString() || !entry.value().isTensor()) throw_foreign(path);
    checkpoint.tensors[entry.key().toStringRef()] = entry.value().toTensor();
  }
  return checkpoint;
}

}  // namespace cpd
