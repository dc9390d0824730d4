#include <cpd/core/error.h>
#include <cpd/core/json.h>
#include <cpd/model/reference.h>
#include <gmock/gmock.h>
#include <support/network.h>

#include "exported.h"

namespace cpd::testing {
namespace {

/// A committed file: made by Python, traced or scripted, with debug records and zero weights.
struct Fixture {
  std::string name;
  std::string file;
  std::string input;
};

std::string folder() { return std::string(CPD_TEST_DATA) + "/networks/"; }

std::vector<Fixture> fixtures() {
  std::vector<Fixture> all;
  const Json index = read_json_file(folder() + "index.json");
  for (const auto& [name, entry] : index.items()) {
    all.push_back({name, folder() + entry["file"].get<std::string>(), entry["input"]});
  }
  return all;
}

void PrintTo(const Fixture& fixture, std::ostream* out) { *out << fixture.name; }

/// The file's module with random weights and statistics.
torch::jit::Module filled(const Fixture& fixture) {
  auto module = torch::jit::load(fixture.file);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const torch::NoGradGuard no_grad;
  const auto fill = [&](const std::string& name, at::Tensor tensor) {
    if (!tensor.is_floating_point()) return;
    tensor.copy_(torch::randn(tensor.sizes(), generator) * 0.2 + 0.05);
    if (name.find("running_var") != std::string::npos) tensor.abs_().add_(0.5);
  };
  for (const auto& parameter : module.named_parameters()) fill(parameter.name, parameter.value);
  for (const auto& buffer : module.named_buffers()) fill(buffer.name, buffer.value);
  return module;
}

std::vector<at::Tensor> run(torch::jit::Module module, const at::Tensor& input) {
  const torch::NoGradGuard no_grad;
  return tensors_in(module.forward({input}));
}

class EveryFile : public ExportTest, public ::testing::WithParamInterface<Fixture> {};

TEST_P(EveryFile, ComesBackAsItWas) {
  const auto module = filled(GetParam());
  const at::Tensor x = random_input(parse_input(GetParam().input), 3);
  const Model model = import_module(module, {x});
  export_torchscript(model, path("same.pt"));
  const auto loaded = torch::jit::load(path("same.pt"));
  EXPECT_EQ(names_of(loaded), names_of(module));
  const auto actual = run(loaded, x), expected = run(module, x);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_LE(relative_error(actual[i], expected[i]), 1e-6);
  }
}

TEST_P(EveryFile, IsPrunedAndVerified) {
  const at::Tensor x = random_input(parse_input(GetParam().input), 3);
  const Model model = import_module(filled(GetParam()), {x});
  const Combing combing = comb(model);
  const Rules rules = default_rules();
  const Keep keep = random_keep(combing, 6, false);
  export_torchscript(model, compact(model, combing, keep, rules), path("small.pt"));
  const auto verification =
      verify_export(model, combing, path("small.pt"), plan_of(model, combing, keep));
  EXPECT_TRUE(verification.ok()) << verification.text();
}

TEST_P(EveryFile, HasSourceLinesBeforeAndAfter) {
  const at::Tensor x = random_input(parse_input(GetParam().input), 3);
  const Model model = import_module(filled(GetParam()), {x});
  export_torchscript(model, path("same.pt"));
  const Model again = load_model(path("same.pt"), {x});
  for (const Model* each : {&model, &again}) {
    const auto& ops = each->graph.ops;
    const auto known = std::count_if(ops.begin(), ops.end(), [](const Op& op) {
      return op.where.file.size() > 3 && op.where.file.ends_with(".py") && op.where.line > 0;
    });
    EXPECT_GT(known, static_cast<std::ptrdiff_t>(ops.size()) / 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, EveryFile, ::testing::ValuesIn(fixtures()),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace cpd::testing
