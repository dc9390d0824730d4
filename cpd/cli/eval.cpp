#include <cpd/cli/arguments.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/evaluation.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/core/json.h>
#include <cpd/core/text.h>

namespace cpd::cli {
namespace {

void add_eval_options(po::options_description& options) {
  add_model_options(options);
  add_data_options(options);
  add_output_options(options);
}

std::string input_text(const ImageShape& shape) {
  return std::to_string(shape.channels) + "," + std::to_string(shape.height) + "," +
         std::to_string(shape.width);
}

/// By class name; no entry where a class does not occur.
Json iou_json(const Dataset& dataset, const Evaluation& result) {
  Json json = Json::object();
  for (size_t c = 0; c < result.iou.size(); ++c) {
    if (result.iou[c] < 0) continue;
    const bool named = c < dataset.classes().size();
    json[named ? dataset.classes()[c] : std::to_string(c)] = result.iou[c];
  }
  return json;
}

int run_eval(const po::variables_map& values) {
  const std::string path = text_of(values, "MODEL");
  const DataOptions options = data_options(values);
  if (options.data.empty()) throw UsageError("--data is missing: the images to classify");
  check_outputs(values, {"output"});
  set_threads(values);
  const auto network = load_network(path, seed_of(values));
  const DatasetPointer dataset = open_dataset(options, "test");
  const ImageShape shape = input_shape(values, path, *network, *dataset);
  Loader loader = evaluation_loader(dataset, options, shape);
  const Evaluation result = evaluate(*network, loader);
  std::vector<std::pair<std::string, std::string>> facts;
  Json json{{"model", path}, {"data", options.data}, {"input", input_text(shape)}};
  if (result.mean_iou) {
    facts.emplace_back("mean IoU", percent_text(*result.mean_iou));
    facts.emplace_back("pixels right", percent_text(result.accuracy));
    json["mean_iou"] = *result.mean_iou;
    json["iou"] = iou_json(*dataset, result);
  } else {
    facts.emplace_back("accuracy", percent_text(result.accuracy));
  }
  facts.emplace_back("images", std::to_string(result.images));
  facts.emplace_back("loss", Json(result.loss).dump());
  json["accuracy"] = result.accuracy;
  json["images"] = result.images;
  json["loss"] = result.loss;
  deliver(values, facts_text(facts), [&] { return json_text(json); });
  return 0;
}

}  // namespace

Command eval_command() {
  return {"eval",
          "MODEL",
          "Classifies images, or their pixels, with a network and tells how many are right.",
          "cpd eval zoo:fashion --data fashion-mnist --images 500",
          {"MODEL"},
          1,
          add_eval_options,
          run_eval};
}

}  // namespace cpd::cli
