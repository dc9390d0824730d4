#include <cpd/cli/arguments.h>
#include <cpd/cli/method_options.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>

namespace cpd::cli {
namespace {

void add_sample_options(po::options_description& options) {
  add_model_options(options);
  add_unit_options(options);
  add_output_options(options, "the choices");
}

int run_sample(const po::variables_map& values) {
  MutatorOptions options;
  set_unit_options(values, options);
  check_outputs(values, {"output"});
  Model model = read_model(values);
  read_groups(values, model, options);
  const ChannelMutator mutator(std::move(model), options);
  mutator.check_prunable();
  const std::string choices = to_json(mutator.sample_choices(options.seed));
  deliver(values, given(values, "output") ? "" : choices, [&] { return choices; });
  return 0;
}

}  // namespace

Command sample_command() {
  return {"sample",
          "MODEL",
          "Draws a random choice for each unit: what `cpd prune --choices` takes.",
          "cpd sample zoo:resnet20 --seed 1 -o choices.json",
          {"MODEL"},
          1,
          add_sample_options,
          run_sample};
}

}  // namespace cpd::cli
