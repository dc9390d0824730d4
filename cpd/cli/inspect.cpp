#include <cpd/cli/command.h>
#include <cpd/cli/model_argument.h>
#include <cpd/core/file.h>
#include <cpd/core/text.h>
#include <cpd/cost/cost.h>
#include <cpd/mutators/groups_of.h>

#include <iostream>

namespace cpd::cli {
namespace {

void add_options(po::options_description& options) {
  add_model_options(options);
  options.add_options()("json", po::value<std::string>()->value_name("FILE"),
                        "write the groups to a file that can be edited");
}

int run_inspect(const po::variables_map& values) {
  const Model model = read_model(values);
  const Combing combing = comb(model);
  const Cost cost = CostModel(model, combing).dense();
  std::cout << model.source << ": " << model.graph.ops.size() << " ops, "
            << count_text(static_cast<double>(cost.parameters)) << " parameters, "
            << count_text(static_cast<double>(cost.macs)) << " MACs per sample\n\n"
            << combing.text(model);
  for (const auto& op : combing.unknown_ops) std::cout << "no rule: " << op << "\n";
  if (values.count("json")) {
    write_file(values["json"].as<std::string>(), to_json(groups_of(model, combing)));
  }
  return 0;
}

}  // namespace

Command inspect_command() {
  return {"inspect",
          "MODEL",
          "Shows what a network costs, which channels go together and what is locked.",
          "cpd inspect zoo:resnet20 --json groups.json",
          {"MODEL"},
          1,
          add_options,
          run_inspect};
}

}  // namespace cpd::cli
