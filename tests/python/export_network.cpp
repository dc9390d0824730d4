// export_network IN OUT SHAPE [SEED]: exports a TorchScript file, restricted to a random keep where
// a seed is given (of units of level `exact` only if it is even), and prints what the file should
// hold: `NAME SHAPE` for each tensor of the table.
#include <cpd/comb/compaction.h>
#include <cpd/exporters/export.h>
#include <cpd/units/plan_of.h>
#include <support/network.h>

#include <cstdio>
#include <exception>
#include <string>

namespace {

void print_tensor(const std::string& name, const at::Tensor& tensor) {
  std::printf("%s", name.c_str());
  for (int64_t extent : tensor.sizes()) std::printf(" %ld", static_cast<long>(extent));
  std::printf("\n");
}

void export_network(int count, char** arguments) {
  const cpd::Model model = cpd::load_model(arguments[1], cpd::parse_input(arguments[3]));
  const cpd::Rules rules = cpd::default_rules();
  const cpd::Combing combing = cpd::comb(model);
  cpd::Keep keep(combing);
  if (count > 4) {
    const uint64_t seed = std::stoull(arguments[4]);
    keep = cpd::testing::random_keep(combing, seed, seed % 2 == 0);
  }
  const cpd::Compaction compaction = cpd::compact(model, combing, keep, rules);
  cpd::certify(model, combing, keep, compaction, rules);
  const cpd::Plan plan = cpd::plan_of(model, combing, keep);
  cpd::ExportOptions options;
  options.extra_files["plan.json"] = cpd::to_json(plan);
  options.extra_files["report.json"] = "{\"made\": \"by a test\"}";
  options.force = true;
  const auto result = cpd::export_torchscript(model, compaction, arguments[2], options);
  for (const auto& comparison : result.comparisons) {
    std::fprintf(stderr, "%s\n", comparison.text().c_str());
  }
  const auto verification = cpd::verify_export(model, combing, arguments[2], plan, rules);
  if (!verification.ok()) throw std::runtime_error(verification.text());
  for (const auto& entry : model.parameters) {
    if (entry.role == cpd::ParameterRole::kConstant) continue;
    const auto cuts = plan.parameters.find(entry.name);
    const bool whole = cuts == plan.parameters.end();
    const at::Tensor planned = whole ? entry.tensor : cpd::cut(entry.tensor, cuts->second);
    print_tensor(entry.name, planned);
    for (const auto& alias : entry.aliases) print_tensor(alias, planned);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4 || count > 5) {
    std::fprintf(stderr, "usage: export_network IN OUT SHAPE [SEED]\n");
    return 2;
  }
  try {
    export_network(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
