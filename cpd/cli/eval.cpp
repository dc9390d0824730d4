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
  const std::string text = facts_text({{"accuracy", percent_text(result.accuracy)},
                                       {"images", std::to_string(result.images)},
                                       {"loss", Json(result.loss).dump()}});
  deliver(values, text, [&] {
    return json_text(Json{{"model", path},
                          {"data", options.data},
                          {"input", input_text(shape)},
                          {"accuracy", result.accuracy},
                          {"images", result.images},
                          {"loss", result.loss}});
  });
  return 0;
}

}  // namespace

Command eval_command() {
  return {"eval",
          "MODEL",
          "Classifies images with a network and tells how many are right.",
          "cpd eval zoo:fashion --data fashion-mnist --images 500",
          {"MODEL"},
          1,
          add_eval_options,
          run_eval};
}

}  // namespace cpd::cli
