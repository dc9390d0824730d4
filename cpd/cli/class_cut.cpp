#include <cpd/cli/arguments.h>
#include <cpd/cli/class_cut.h>
#include <cpd/cli/data_argument.h>
#include <cpd/core/json.h>
#include <cpd/model/output_classes.h>

#include <filesystem>

namespace cpd::cli {

void add_class_options(po::options_description& options) {
  options.add_options()("cut-classes",
                        "cut the outputs of all classes but those of --classes, and write which "
                        "output is which class beside the network");
}

ClassCut cut_classes(const po::variables_map& values, Model model) {
  if (values.count("cut-classes") == 0)
    return {std::make_shared<const Model>(std::move(model)), ""};
  DataOptions options = data_options(values);
  if (options.data.empty() || options.classes.empty()) {
    throw UsageError("--cut-classes needs --data and --classes: which classes are to be left");
  }
  const std::vector<std::string> wanted = std::exchange(options.classes, {});
  const DatasetPointer dataset = open_dataset(options, "train");
  const std::vector<int64_t> kept = find_classes(*dataset, wanted);
  Json labels = Json::array();
  for (size_t i = 0; i < kept.size(); ++i) {
    labels.push_back({{"output", i},
                      {"class", kept[i]},
                      {"name", dataset->classes()[static_cast<size_t>(kept[i])]}});
  }
  auto cut = std::make_shared<const Model>(with_output_classes(std::move(model), kept));
  return {std::move(cut),
          json_text({{"format", "cpd-labels"}, {"version", 1}, {"labels", labels}})};
}

std::string labels_file(const std::string& network) {
  return std::filesystem::path(network).replace_extension(".labels.json").string();
}

}  // namespace cpd::cli
