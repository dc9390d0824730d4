#include <cpd/algorithms/group_lasso.h>
#include <cpd/algorithms/growing_regularisation.h>
#include <cpd/algorithms/regulariser.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>

namespace cpd {
namespace {

template <typename Options>
Regulariser read(const Json& json, const std::string& path) {
  Options options;
  read_json(json, path, options);
  options.verify(path);
  return regulariser(options);
}

using Reader = Regulariser (*)(const Json&, const std::string&);

const std::vector<std::pair<std::string, Reader>>& readers() {
  static const std::vector<std::pair<std::string, Reader>> all{
      {"group_lasso", read<GroupLassoOptions>}, {"growing", read<GrowingOptions>}};
  return all;
}

}  // namespace

std::vector<std::string> regulariser_names() {
  std::vector<std::string> names;
  for (const auto& [name, reader] : readers()) names.push_back(name);
  return names;
}

void read_json(const Json& json, const std::string& path, Regulariser& regulariser) {
  std::string type;
  JsonObject(json, path).require("type", type);
  Json options = json;
  options.erase("type");
  for (const auto& [name, reader] : readers()) {
    if (name != type) continue;
    regulariser = reader(options, path);
    return;
  }
  const auto names = regulariser_names();
  throw Error("there is no regulariser '" + type + "'" + suggestion(type, names),
              {.path = key_path(path, "type")}, "one of " + joined(names));
}

void to_json(Json& json, const Regulariser& regulariser) {
  json = Json{{"type", regulariser.name}};
  json.update(regulariser.options);
}

}  // namespace cpd
