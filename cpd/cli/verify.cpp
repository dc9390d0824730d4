#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/comb/residual_blocks.h>
#include <cpd/core/json.h>
#include <cpd/exporters/export.h>

namespace cpd::cli {
namespace {

void add_verify_options(po::options_description& options) {
  add_model_options(options);
  add_output_options(options);
}

/// The plan of a file, or the one that travels in the pruned file.
Plan read_plan(const po::variables_map& values, const std::string& pruned) {
  const std::string path = text_of(values, "PLAN");
  if (!path.empty()) return in_file(path, plan_from_json);
  const auto texts = embedded_texts(pruned);
  const auto found = texts.find("plan.json");
  if (found == texts.end()) {
    throw Error("there is no plan in the file", {.path = pruned},
                "a file that cpd has pruned, or the plan as a third argument");
  }
  return at_path(pruned, [&] { return plan_from_json(found->second); });
}

Json json_of(const Verification& verification) {
  Json comparisons = Json::array();
  for (const auto& check : verification.comparisons) {
    comparisons.push_back({{"with", check.with},
                           {"batch", check.batch},
                           {"dtype", name_of(check.dtype)},
                           {"error", check.error},
                           {"bound", check.bound}});
  }
  return {
      {"ok", verification.ok()}, {"problems", verification.problems}, {"comparisons", comparisons}};
}

int run_verify(const po::variables_map& values) {
  check_outputs(values, {"output"});
  const std::string pruned = text_of(values, "PRUNED");
  const Model dense = read_model_file(text_of(values, "DENSE"), values, pruned);
  const Plan plan = read_plan(values, pruned);
  CombOptions options;
  options.blocks = names_blocks(plan.units);
  const Combing combing = comb(dense, options);
  const Verification verification =
      at_path(given(values, "PLAN") ? text_of(values, "PLAN") : pruned,
              [&] { return verify_export(dense, combing, pruned, plan); });
  deliver(values, verification.text(), [&] { return json_text(json_of(verification)); });
  return verification.ok() ? 0 : 1;
}

}  // namespace

Command verify_command() {
  return {"verify",
          "DENSE PRUNED [PLAN]",
          "Checks that a pruned file is exactly the dense network under a plan: by default the one "
          "in the file.",
          "cpd prune zoo:resnet20 --macs 0.5 -o small.pt --plan-out plan.json\n"
          "cpd verify zoo:resnet20 small.pt plan.json",
          {"DENSE", "PRUNED", "PLAN"},
          2,
          add_verify_options,
          run_verify};
}

}  // namespace cpd::cli
