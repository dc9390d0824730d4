#include <cpd/algorithms/method.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>

namespace cpd {
namespace {

template <typename Options>
Options read(const Json& json, const std::string& path) {
  Options options;
  read_json(json, path, options);
  return options;
}

}  // namespace

MethodOptions read_method(const Json& json, const std::string& path) {
  std::string type = "OneShot";
  JsonObject(json, path).read("type", type);
  if (type == "OneShot") return read<OneShotOptions>(json, path);
  if (type == "Iterative") return read<IterativeOptions>(json, path);
  if (type == "Distill") return read<DistillAlgorithmOptions>(json, path);
  const std::vector<std::string> known{"OneShot", "Iterative", "Distill"};
  throw Error("there is no method '" + type + "'" + suggestion(type, known),
              {.path = key_path(path, "type")}, "one of " + joined(known));
}

TrainOptions* train_options_of(MethodOptions& method) {
  if (auto* one_shot = std::get_if<OneShotOptions>(&method)) {
    return one_shot->train ? &*one_shot->train : nullptr;
  }
  if (auto* iterative = std::get_if<IterativeOptions>(&method)) return &iterative->train;
  return &std::get<DistillAlgorithmOptions>(method).train;
}

double* min_accuracy_of(MethodOptions& method) {
  if (auto* one_shot = std::get_if<OneShotOptions>(&method)) return &one_shot->min_accuracy;
  if (auto* iterative = std::get_if<IterativeOptions>(&method)) return &iterative->min_accuracy;
  return nullptr;
}

MutatorOptions& mutator_options_of(MethodOptions& method) {
  return *std::visit([](auto& options) { return &options.mutator; }, method);
}

}  // namespace cpd
