#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/cli/training_options.h>
#include <cpd/distill/distiller.h>
#include <cpd/exporters/export.h>

namespace cpd::cli {
namespace {

void add_distill_options(po::options_description& options) {
  add_model_options(options);
  options.add_options()("teacher", value("TEACHER"),
                        "the network to learn from: a file or zoo:NAME")(
      "loss", value("NAME")->default_value("kl"),
      "how outputs are compared with the teacher's: kl, dist, hard, mse, cwd (label maps)")(
      "temperature", value("R"), "by which kl and dist soften the outputs")(
      "label-weight", value("R")->default_value("1"), "weight of the loss against the labels");
  add_data_options(options);
  add_training_with_config(options);
  add_output_options(options, "the trained network");
}

DistillOptions distill_options(const po::variables_map& values) {
  constexpr double kMost = 1e6;
  DistillOptions options;
  options.seed = seed_of(values);
  DistillTerm& term = options.losses.front();
  as_usage("loss", [&] { term.loss = text_of(values, "loss"); });
  if (given(values, "temperature")) {
    term.settings.temperature = real_of(values, "temperature", 1e-3, kMost);
  }
  options.label_weight = real_of(values, "label-weight", 0, kMost);
  as_usage("temperature", [&] { options.verify(); });
  return options;
}

int run_distill(const po::variables_map& values) {
  const TrainOptions options = training_options(values, training_config(values));
  const DistillOptions distill = distill_options(values);
  const std::string teacher_path = text_of(values, "teacher"), path = text_of(values, "MODEL");
  if (teacher_path.empty()) throw UsageError("--teacher is missing: the network to learn from");
  if (!given(values, "output")) throw UsageError("-o is missing: the file for the trained network");
  check_outputs(values, {"output"});
  const auto model = std::make_shared<const Model>(read_model_file(path, values, teacher_path));
  DynamicModel network(model, std::make_shared<const Combing>(comb(*model)));
  const auto labels = [&](const std::vector<at::Tensor>& outputs, const at::Tensor& classes) {
    return cross_entropy(outputs, {at::Tensor(), classes}, options.label_smoothing);
  };
  Distiller distiller(read_model_file(teacher_path, values, path), network, distill, labels);
  TrainingImages images(values, image_shape(*model));
  const Loss loss = [&](const std::vector<at::Tensor>& outputs, const Batch& batch) {
    return distiller.loss(network, {{batch.images}, outputs, {}, batch.labels}).total;
  };
  const auto result = train_with_progress(*trainable(network), images, options, "distill", loss);
  check_finished(result, options);
  export_torchscript(network.model(), text_of(values, "output"),
                     {.force = values.count("force") > 0});
  deliver_trained(values, result);
  return 0;
}

}  // namespace

Command distill_command() {
  return {"distill",
          "MODEL",
          "Trains a network, such as a pruned one, to answer as its teacher does.",
          "cpd prune zoo:fashion --macs 0.5 -o small.pt\n"
          "cpd distill small.pt --teacher zoo:fashion --data fashion-mnist --images 256 --epochs 1 "
          "--lr 0.02 -o better.pt",
          {"MODEL"},
          1,
          add_distill_options,
          run_distill};
}

}  // namespace cpd::cli
