#include <cpd/cli/command.h>
#include <cpd/cli/model_argument.h>
#include <cpd/comb/compaction.h>

#include <iostream>

namespace cpd::cli {
namespace {

int run_explain(const po::variables_map& values) {
  const Model model = read_model(values);
  const Combing combing = comb(model);
  const std::string other = values.count("LAYER_B") ? values["LAYER_B"].as<std::string>() : "";
  std::cout << explain(model, combing, values["LAYER_A"].as<std::string>(), other);
  return 0;
}

}  // namespace

Command explain_command() {
  return {"explain",
          "MODEL LAYER_A [LAYER_B]",
          "Tells why two layers must be pruned together, or why one cannot be pruned.",
          "cpd explain zoo:resnet20 layer1.0.conv2 layer1.1.conv2",
          {"MODEL", "LAYER_A", "LAYER_B"},
          2,
          add_model_options,
          run_explain};
}

}  // namespace cpd::cli
