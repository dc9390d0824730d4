#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/exporters/inputs_file.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "exported.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

std::string name_of(const ::testing::TestParamInfo<Source>& info) { return info.param.name; }

class EveryOp : public ExportTest, public ::testing::WithParamInterface<Source> {};

at::Tensor run(torch::jit::Module& module, const at::Tensor& input) {
  const torch::NoGradGuard no_grad;
  return module.forward({input}).toTensor();
}

TEST_P(EveryOp, ComesBackAsItWas) {
  const Subject subject(GetParam());
  export_torchscript(subject.model, path("same.pt"));
  auto original = subject.module;
  auto loaded = torch::jit::load(path("same.pt"));
  EXPECT_EQ(names_of(loaded), names_of(original));
  for (int64_t batch : {2, 3}) {
    const auto x = example(subject.source, batch, 77);
    EXPECT_LE(error_of(run(loaded, x), run(original, x)), 1e-12);
  }
}

TEST_P(EveryOp, IsExportedAtItsKeptWidths) {
  const Subject subject(GetParam());
  for (uint64_t seed : {1, 2}) {
    const Keep keep = half_of(subject.combing, seed);
    const auto compaction = compact(subject.model, subject.combing, keep, subject.rules);
    ExportOptions options;
    options.force = true;
    DynamicModel masked = dynamic_model_of(subject.source);
    masked.set_keep(keep);
    options.reference = [&](const std::vector<at::Tensor>& x) { return masked.forward(x); };
    const auto result = export_torchscript(subject.model, compaction, path("small.pt"), options);
    EXPECT_GE(result.comparisons.size(), 4);
    const Plan plan = plan_of(subject.model, subject.combing, keep);
    const auto loaded = torch::jit::load(path("small.pt"));
    for (const auto& tensor : loaded.named_parameters()) {
      const at::Tensor dense = subject.model.find(tensor.name)->tensor;
      const auto cuts = plan.parameters.find(tensor.name);
      const at::Tensor planned = cuts == plan.parameters.end() ? dense : cut(dense, cuts->second);
      EXPECT_TRUE(tensor.value.equal(planned)) << tensor.name;
    }
  }
}

TEST_P(EveryOp, CanBePrunedAgain) {
  const Subject subject(GetParam());
  export_torchscript(subject.model, subject.compaction(1), path("once.pt"));
  const Model once = load_model(path("once.pt"), {example(subject.source, 2)});
  const Combing combing = comb(once);
  const auto twice = compact(once, combing, half_of(combing, 5), subject.rules);
  export_torchscript(once, twice, path("twice.pt"));
  EXPECT_EQ(files(), 2);
}

INSTANTIATE_TEST_SUITE_P(Networks, EveryOp, ::testing::ValuesIn(op_sources()), name_of);

using TorchScript = ExportTest;

TEST_F(TorchScript, TextsTravelInTheFile) {
  const Subject subject(source_named("conv2d"));
  ExportOptions options;
  options.extra_files = {{"plan.json", "{\"a\": 1}"}, {"report.json", "[]"}};
  export_torchscript(subject.model, path("x.pt"), options);
  torch::jit::ExtraFilesMap extra = {{"plan.json", ""}, {"report.json", ""}};
  torch::jit::load(path("x.pt"), at::kCPU, extra);
  EXPECT_EQ(extra["plan.json"], "{\"a\": 1}");
  EXPECT_EQ(extra["report.json"], "[]");
}

TEST_F(TorchScript, EarlierPlansFormAChain) {
  const Subject subject(source_named("conv2d"));
  std::string from;
  for (const std::string step : {"a", "b", "c"}) {
    const Model model =
        from.empty() ? subject.model : load_model(from, {example(subject.source, 2)});
    ExportOptions options;
    options.extra_files = {{"plan.json", step}, {"report.json", "of " + step}};
    export_torchscript(model, path(step + ".pt"), options);
    from = path(step + ".pt");
  }
  auto texts = embedded_texts(from);
  const Json inputs = parse_json(texts.at(kInputsFile), kInputsFile);
  EXPECT_EQ(parse_input(inputs.at(0).get<std::string>()).shape,
            example(subject.source, 2).sizes().vec());
  texts.erase(kInputsFile);
  const std::map<std::string, std::string> expected = {
      {"plan-1.json", "a"}, {"plan-2.json", "b"}, {"plan.json", "c"}, {"report.json", "of c"}};
  EXPECT_EQ(texts, expected);
  EXPECT_THROW(embedded_texts(path("none.pt")), Error);
}

TEST_F(TorchScript, TheNameOfTheFilePicksTheForm) {
  const Subject subject(source_named("conv2d"));
  export_network(subject.model, subject.compaction(1), path("x.pt"));
  export_network(subject.model, subject.compaction(1), path("x.safetensors"));
  torch::jit::load(path("x.pt"));
  EXPECT_EQ(read_file(path("x.safetensors")).substr(8, 1), "{");
}

TEST_F(TorchScript, AShrunkModelIsExportedAsItIs) {
  const Source source = source_named("shuffle");
  DynamicModel dynamic = dynamic_model_of(source);
  dynamic.set_keep(half_of(dynamic.combing(), 4));
  const auto x = example(source, 3);
  const at::Tensor masked = dynamic.forward(x);
  dynamic.shrink();
  export_torchscript(dynamic.model(), path("x.pt"));
  auto loaded = torch::jit::load(path("x.pt"));
  EXPECT_LE(error_of(run(loaded, x), masked), 1e-9);
}

TEST_F(TorchScript, ModulesInCppAreExportedUnderTheirNames) {
  const auto network = make_network(parse_network("zoo:resnet20"));
  randomise_statistics(*network, 1);
  network->eval();
  const Model model = trace_model(network, {torch::randn({2, 3, 32, 32})});
  const Combing combing = comb(model);
  const auto compaction = compact(model, combing, half_of(combing, 3), default_rules());
  export_torchscript(model, compaction, path("x.pt"));
  auto loaded = torch::jit::load(path("x.pt"));
  std::vector<std::string> names, expected;
  for (const auto& parameter : loaded.named_parameters()) names.push_back(parameter.name);
  for (const auto& parameter : network->named_parameters()) expected.push_back(parameter.key());
  EXPECT_EQ(names, expected);
  EXPECT_EQ(run(loaded, torch::randn({5, 3, 32, 32})).size(0), 5);
}

TEST_F(TorchScript, TrainingSwitchesBatchNormAndCounts) {
  const Subject subject(source_named("batch_norm"));
  export_torchscript(subject.model, path("x.pt"));
  auto original = subject.module;
  auto loaded = torch::jit::load(path("x.pt"));
  original.train();
  loaded.train();
  const auto x = example(subject.source, 4);
  EXPECT_LE(error_of(run(loaded, x), run(original, x)), 1e-12);
  const auto bn = loaded.attr("bn").toModule();
  const auto expected = original.attr("bn").toModule();
  for (const char* name : {"running_mean", "running_var", "num_batches_tracked"}) {
    EXPECT_TRUE(bn.attr(name).toTensor().equal(expected.attr(name).toTensor())) << name;
  }
  EXPECT_EQ(bn.attr("num_batches_tracked").toTensor().item<int64_t>(), 1);
  loaded.eval();
  run(loaded, x);
  EXPECT_EQ(bn.attr("num_batches_tracked").toTensor().item<int64_t>(), 1);
}

TEST_F(TorchScript, DropoutActsInTrainingOnly) {
  const Source source = {"dropout",
                         {{"a.weight", {8, 6}}, {"b.weight", {3, 8}}},
                         "def forward(self, x):\n"
                         "  y = torch.dropout(torch.linear(x, self.a.weight), 0.5, self.training)\n"
                         "  return torch.linear(y, self.b.weight)\n",
                         {2, 6}};
  const Subject subject(source);
  export_torchscript(subject.model, subject.compaction(3), path("x.pt"));
  auto loaded = torch::jit::load(path("x.pt"));
  const auto x = example(source, 4);
  EXPECT_TRUE(run(loaded, x).equal(run(loaded, x)));
  loaded.train();
  EXPECT_FALSE(run(loaded, x).equal(run(loaded, x)));
}

TEST_F(TorchScript, StructureOfOutputsIsKept) {
  const std::vector<NamedShape> tensors = {{"a.weight", {8, 6}}, {"b.weight", {3, 8}}};
  const std::string body =
      "def forward(self, x):\n"
      "  y = torch.linear(x, self.a.weight)\n"
      "  z = torch.linear(torch.relu(y), self.b.weight)\n  return ";
  for (const std::string result :
       {"(y, (z, x.size(0)))", "[y, z]", "{'y': y, 'z': z}", "(z, None)", "[(y, z), (z, y)]"}) {
    const Subject subject({"outputs", tensors, body + result + "\n", {2, 6}});
    ExportOptions options;
    options.force = true;
    export_torchscript(subject.model, path("x.pt"), options);
    const torch::NoGradGuard no_grad;
    auto original = subject.module;
    auto loaded = torch::jit::load(path("x.pt"));
    const auto x = example(subject.source, 5);
    const auto expected = original.forward({x}), actual = loaded.forward({x});
    EXPECT_EQ(actual.type()->str(), expected.type()->str());
    std::ostringstream left, right;
    left << actual;
    right << expected;
    EXPECT_EQ(left.str(), right.str());
  }
}

TEST_F(TorchScript, SharedTensorsStayShared) {
  Subject subject(source_named("linear"));
  torch::jit::Module twin("__torch__.Twin", subject.module._ivalue()->compilation_unit(), true);
  const at::Tensor shared = torch::randn({6, 6}, at::kDouble).set_requires_grad(true);
  twin.register_parameter("first", shared, false);
  twin.register_parameter("second", shared, false);
  twin.define(
      "def forward(self, x):\n"
      "  return torch.linear(torch.relu(torch.linear(x, self.first)), self.second)\n");
  const Model model = import_module(twin, {example(subject.source, 2)});
  export_torchscript(model, path("x.pt"));
  const auto loaded = torch::jit::load(path("x.pt"));
  EXPECT_TRUE(loaded.attr("first").toTensor().is_same(loaded.attr("second").toTensor()));
}

TEST_F(TorchScript, SizesOfTheInputStayFree) {
  const Subject subject(source_named("transformer_block"));
  export_torchscript(subject.model, subject.compaction(1), path("x.pt"));
  auto loaded = torch::jit::load(path("x.pt"));
  EXPECT_EQ(run(loaded, torch::randn({7, 5, 6}, at::kDouble)).size(0), 7);
}

TEST_F(TorchScript, ExistingFilesAreReplacedOnlyByForce) {
  const Subject subject(source_named("linear"));
  export_torchscript(subject.model, path("x.pt"));
  EXPECT_THAT(error_text([&] { export_torchscript(subject.model, path("x.pt")); }),
              HasSubstr("exists already"));
  ExportOptions options;
  options.force = true;
  export_torchscript(subject.model, path("x.pt"), options);
}

TEST_F(TorchScript, TheNetworksOwnFileIsNeverWritten) {
  const Subject subject(source_named("linear"));
  export_torchscript(subject.model, path("x.pt"));
  const Model model = load_model(path("x.pt"), {example(subject.source, 2)});
  ExportOptions options;
  options.force = true;
  std::filesystem::create_symlink(path("x.pt"), path("link.pt"));
  for (const char* name : {"x.pt", "link.pt"}) {
    EXPECT_THAT(error_text([&] { export_torchscript(model, path(name), options); }),
                HasSubstr("own file"));
  }
}

TEST_F(TorchScript, PlacesThatCannotBeWrittenAreNamed) {
  const Subject subject(source_named("linear"));
  const std::string missing = path("missing/x.pt");
  EXPECT_THAT(error_text([&] { export_torchscript(subject.model, missing); }),
              HasSubstr("missing/x.pt"));
  EXPECT_THAT(error_text([&] { export_torchscript(subject.model, folder_.string()); }),
              HasSubstr("is a folder"));
  EXPECT_EQ(files(), 0);
}

TEST_F(TorchScript, AFullDiskLeavesWhatWasThere) {
  const Subject subject(source_named("linear"));
  export_torchscript(subject.model, path("x.pt"));
  const auto size = std::filesystem::file_size(path("x.pt"));
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  ExportOptions options;
  options.force = true;
  const auto error = error_text([&] { export_torchscript(subject.model, path("x.pt"), options); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(error, HasSubstr("could not be written"));
  EXPECT_EQ(std::filesystem::file_size(path("x.pt")), size);
  EXPECT_EQ(files(), 1);
}

TEST_F(TorchScript, AWrongExportIsRefused) {
  const Subject subject(source_named("linear"));
  ExportOptions options;
  options.reference = [](const std::vector<at::Tensor>& x) -> std::vector<at::Tensor> {
    return {x[0].new_zeros({x[0].size(0), 3})};
  };
  EXPECT_THAT(error_text([&] { export_torchscript(subject.model, path("x.pt"), options); }),
              HasSubstr("differs"));
  EXPECT_EQ(files(), 0);
}

TEST_F(TorchScript, WhatIsLostIsSaid) {
  Subject subject(source_named("linear"));
  subject.module.define("def other(self, x):\n  return x + 1\n");
  const auto result = export_torchscript(subject.model, path("x.pt"));
  EXPECT_THAT(result.lost, ::testing::ElementsAre(HasSubstr("method `other`")));
}

}  // namespace
}  // namespace cpd::testing
