#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/cli/training_options.h>

namespace cpd::cli {
namespace {

void add_train_options(po::options_description& options) {
  add_model_options(options);
  add_data_options(options);
  add_training_options(options);
  add_output_options(options, "the trained network");
}

int run_train(const po::variables_map& values) {
  const TrainOptions options = training_options(values);
  if (!given(values, "output")) throw UsageError("-o is missing: the file for the trained network");
  check_outputs(values, {"output"});
  const auto model = std::make_shared<const Model>(read_model(values));
  DynamicModel network(model, std::make_shared<const Combing>(comb(*model)));
  TrainingImages images(values, image_shape(*model));
  const auto result = train_with_progress(*trainable(network), images, options, "train");
  deliver_trained(values, network, result);
  return 0;
}

}  // namespace

Command train_command() {
  return {"train",
          "MODEL",
          "Trains a network on labelled images: one of the zoo from its beginning, a file further.",
          "cpd train zoo:fashion --data fashion-mnist --images 256 --epochs 1 --lr 0.05 -o net.pt",
          {"MODEL"},
          1,
          add_train_options,
          run_train};
}

}  // namespace cpd::cli
