#include <ATen/core/Dict.h>
#include <ATen/core/ivalue.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/label_map.h>
#include <cpd/data/tensor_file.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <optional>
#include <sstream>

namespace cpd {
namespace {

using c10::IValue;

constexpr const char* kExpected =
    "a tuple (images, labels), a dictionary with 'images' and 'labels', or a TorchScript module "
    "with these attributes";

/// The file's value, whoever wrote it; nothing if LibTorch cannot read it.
std::optional<IValue> unpickled(const std::string& bytes) {
  try {
    return torch::jit::pickle_load(std::vector<char>(bytes.begin(), bytes.end()));
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<IValue> scripted(const std::string& bytes) {
  try {
    std::istringstream stream(bytes);
    return IValue(torch::jit::load(stream)._ivalue());
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

/// The entry of a dictionary, a module's attribute, or the tuple's element; None if there is none.
IValue entry(const IValue& value, const std::string& key, size_t position) {
  if (value.isGenericDict()) {
    const auto dictionary = value.toGenericDict();
    const auto found = dictionary.find(key);
    return found == dictionary.end() ? IValue() : found->value();
  }
  if (value.isObject()) {
    const auto object = value.toObject();
    return object->type()->findAttributeSlot(key) ? object->getAttr(key) : IValue();
  }
  if (value.isTuple()) {
    const auto& elements = value.toTupleRef().elements();
    return position < elements.size() ? elements[position] : IValue();
  }
  if (value.isList()) {
    const auto elements = value.toListRef();
    return position < elements.size() ? elements[position] : IValue();
  }
  return {};
}

std::vector<std::string> names_of(const IValue& value, const std::string& path) {
  std::vector<std::string> names;
  if (value.isNone()) return names;
  if (!value.isList()) throw Error("'classes' is no list of names", {.path = path}, "a list");
  for (const IValue& name : value.toListRef()) {
    if (!name.isString()) throw Error("'classes' holds something else", {.path = path}, "names");
    names.push_back(name.toStringRef());
  }
  return names;
}

}  // namespace

DatasetPointer load_tensor_file(const std::string& path) {
  const std::string bytes = read_file(path);
  std::optional<IValue> value = unpickled(bytes);
  if (!value) value = scripted(bytes);
  if (!value) throw Error("LibTorch cannot read the file", {.path = path}, kExpected);
  const IValue images = entry(*value, "images", 0);
  const IValue labels = entry(*value, "labels", 1);
  if (!images.isTensor() || !labels.isTensor()) {
    throw Error("there are no images and labels", {.path = path}, kExpected);
  }
  at::Tensor pixels = images.toTensor().detach();
  if (pixels.dim() == 3) pixels = pixels.unsqueeze(1);
  const at::Tensor classes = labels.toTensor();
  const auto open = classes.dim() == 3 ? label_map_dataset : tensor_dataset;
  return open(pixels, classes, path, names_of(entry(*value, "classes", 2), path));
}

}  // namespace cpd
