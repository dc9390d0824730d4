#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/exporters/compact_module.h>
#include <gmock/gmock.h>
#include <torch/torch.h>

#include <cstring>

#include "exported.h"

namespace cpd::testing {
namespace {

class InMemory : public ExportTest, public ::testing::WithParamInterface<Source> {};

std::string name_of(const ::testing::TestParamInfo<Source>& info) { return info.param.name; }

TEST_P(InMemory, EqualsTheExportedFile) {
  const Subject subject(GetParam());
  const auto compaction = subject.compaction(4);
  export_torchscript(subject.model, compaction, path("x.pt"));
  auto loaded = torch::jit::load(path("x.pt"));
  const auto module = export_module(subject.model, compaction);
  for (const auto& tensor : loaded.named_parameters()) {
    EXPECT_TRUE(module->named_parameters()[tensor.name].equal(tensor.value)) << tensor.name;
  }
  for (bool training : {false, true}) {
    loaded.train(training);
    module->train(training);
    const auto x = example(subject.source, 3, 9);
    const auto expected = loaded.forward({x}).toTensor();
    const auto actual = module->forward(x);
    EXPECT_LE(error_of(actual, expected), 1e-12);
    if (!actual.requires_grad()) continue;
    expected.sum().backward();
    actual.sum().backward();
    for (const auto& tensor : loaded.named_parameters()) {
      if (!tensor.value.grad().defined()) continue;
      const auto gradient = module->named_parameters()[tensor.name].grad();
      EXPECT_LE(error_of(gradient, tensor.value.grad()), 1e-9) << tensor.name;
    }
  }
  for (const auto& tensor : loaded.named_buffers()) {
    EXPECT_TRUE(module->named_buffers()[tensor.name].allclose(tensor.value)) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, InMemory, ::testing::ValuesIn(op_sources()), name_of);

using Module = ExportTest;

TEST_F(Module, IsSavedLoadedAndTrained) {
  const Subject subject(source_named("batch_norm"));
  const auto compaction = subject.compaction(2);
  const auto module = export_module(subject.model, compaction);
  const auto x = example(subject.source, 4);
  torch::optim::SGD optimiser(module->parameters(), 0.01);
  module->train();
  const double before = module->forward(x).square().mean().item<double>();
  for (int i = 0; i < 5; ++i) {
    optimiser.zero_grad();
    module->forward(x).square().mean().backward();
    optimiser.step();
  }
  EXPECT_LT(module->forward(x).square().mean().item<double>(), before);
  EXPECT_EQ(module->named_buffers()["bn.num_batches_tracked"].item<int64_t>(), 7);
  module->eval();
  torch::save(module, path("state.pt"));
  auto twin = export_module(subject.model, compaction);
  EXPECT_FALSE(twin->forward(x).equal(module->forward(x)));
  torch::load(twin, path("state.pt"));
  EXPECT_TRUE(twin->forward(x).equal(module->forward(x)));
}

TEST_F(Module, IsIndependentOfTheModelAndFollowsItsPrecision) {
  const Subject subject(source_named("shuffle"));
  const auto module = export_module(subject.model, subject.compaction(2));
  const auto x = example(subject.source, 2);
  const auto before = module->forward(x);
  for (const auto& entry : subject.model.parameters) entry.tensor.detach().zero_();
  EXPECT_TRUE(module->forward(x).equal(before));
  module->to(at::kFloat);
  EXPECT_EQ(module->forward(x.to(at::kFloat)).scalar_type(), at::kFloat);
  EXPECT_THROW(module->forward(std::vector<at::Tensor>{}), Error);
}

using StateDict = ExportTest;

TEST_F(StateDict, HoldsEveryTensorInOrder) {
  const Subject subject(source_named("batch_norm"));
  const auto compaction = subject.compaction(2);
  ExportOptions options;
  options.extra_files["plan.json"] = "{}";
  export_state_dict(subject.model, compaction, path("x.safetensors"), options);
  const std::string bytes = read_file(path("x.safetensors"));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0);
  const Json header = parse_json(bytes.substr(8, length), "header");
  EXPECT_EQ(header["__metadata__"]["plan.json"], "{}");
  const auto module = export_module(subject.model, compaction);
  auto state = module->named_parameters();
  for (const auto& buffer : module->named_buffers()) state.insert(buffer.key(), buffer.value());
  EXPECT_EQ(header.size(), state.size() + 1);
  size_t end = 0;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const at::Tensor tensor = state[name].detach().contiguous();
    EXPECT_EQ(entry["shape"], Json(tensor.sizes().vec()));
    EXPECT_EQ(entry["dtype"], tensor.scalar_type() == at::kLong ? "I64" : "F64");
    EXPECT_EQ(entry["data_offsets"][0], end);
    end = entry["data_offsets"][1];
    const char* data = bytes.data() + 8 + length + entry["data_offsets"][0].get<size_t>();
    EXPECT_EQ(std::memcmp(data, tensor.const_data_ptr(), tensor.nbytes()), 0);
  }
  EXPECT_EQ(bytes.size(), 8 + length + end);
}

using Verify = ExportTest;

TEST_F(Verify, TellsRightFilesFromWrongOnes) {
  const Subject subject(source_named("batch_norm"));
  const Keep keep = half_of(subject.combing, 3);
  const Plan plan = plan_of(subject.model, subject.combing, keep);
  const auto compaction = compact(subject.model, subject.combing, keep, subject.rules);
  export_torchscript(subject.model, compaction, path("right.pt"));
  const auto verify = [&](const std::string& file, const Plan& under) {
    return verify_export(subject.model, subject.combing, path(file), under);
  };
  const auto right = verify("right.pt", plan);
  EXPECT_TRUE(right.ok()) << right.text();
  EXPECT_EQ(right.comparisons.size(), 4);

  auto changed = torch::jit::load(path("right.pt"));
  {
    const torch::NoGradGuard no_grad;
    changed.attr("a").toModule().attr("weight").toTensor()[0][0][0][0] += 1e-9;
  }
  changed.save(path("changed.pt"));
  EXPECT_THAT(verify("changed.pt", plan).text(),
              ::testing::HasSubstr("'a.weight' has other values"));
  Plan refit = plan;
  refit.refit = {"a.weight"};
  EXPECT_TRUE(verify("changed.pt", refit).ok());

  const Keep other = half_of(subject.combing, 5);
  ASSERT_FALSE(plan_of(subject.model, subject.combing, other) == plan);
  export_torchscript(subject.model, compact(subject.model, subject.combing, other, subject.rules),
                     path("other.pt"));
  EXPECT_FALSE(verify("other.pt", plan).ok());
  export_torchscript(subject.model, path("dense.pt"));
  EXPECT_THAT(verify("dense.pt", plan).text(), ::testing::HasSubstr("has shape"));

  Plan inconsistent = plan;
  inconsistent.parameters.erase("a.weight");
  EXPECT_THAT(verify("right.pt", inconsistent).text(), ::testing::HasSubstr("'a.weight'"));
}

TEST_F(Verify, RefusesPlansOfOtherNetworksAndFilesThatAreNone) {
  const Subject subject(source_named("conv2d")), other(source_named("linear"));
  const Plan plan = plan_of(other.model, other.combing, Keep(other.combing));
  write_file(path("x.pt"), "no zip archive");
  const auto verify = [&](const Plan& under) {
    verify_export(subject.model, subject.combing, path("x.pt"), under);
  };
  EXPECT_THAT(error_text([&] { verify(plan); }), ::testing::HasSubstr("another network"));
  EXPECT_THAT(error_text([&] { verify(Plan()); }), ::testing::HasSubstr("x.pt"));
}

}  // namespace
}  // namespace cpd::testing
