#include <cpd/core/error.h>
#include <cpd/dynamic_ops/elementwise.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "fixture.h"

namespace cpd {
namespace {

using testing::error_of;
using testing::example;
using ::testing::HasSubstr;
using testing::Source;

const Source kOneConvolution{
    "one",
    {{"conv.weight", {8, 3, 3, 3}}, {"conv.bias", {8}}},
    "def forward(self, x):\n"
    "  return torch.conv2d(x, self.conv.weight, self.conv.bias, [1, 1], [1, 1])\n",
    {2, 3, 6, 6}};

const Source kTwoConvolutions{"two",
                              {{"feature.0.weight", {8, 3, 3, 3}},
                               {"feature.0.bias", {8}},
                               {"feature.1.weight", {8}},
                               {"feature.1.bias", {8}},
                               {"feature.1.running_mean", {8}},
                               {"feature.1.running_var", {8}},
                               {"feature.1.num_batches_tracked", {}},
                               {"head.weight", {4, 8, 1, 1}}},
                              "def forward(self, x):\n"
                              "  c = getattr(self.feature, \"0\")\n"
                              "  n = getattr(self.feature, \"1\")\n"
                              "  y = torch.conv2d(x, c.weight, c.bias, [1, 1], [1, 1])\n"
                              "  y = torch.batch_norm(y, n.weight, n.bias, n.running_mean, "
                              "n.running_var, n.training, MOMENTUM, "
                              "1e-5, True)\n"
                              "  y = torch.dropout(torch.relu(y), 0.5, self.training)\n"
                              "  return torch.conv2d(y, self.head.weight)\n",
                              {2, 3, 6, 6}};

Source with_momentum(const std::string& momentum) {
  Source source = kTwoConvolutions;
  source.forward.replace(source.forward.find("MOMENTUM"), 8, momentum);
  return source;
}

const at::Tensor& named(const NamedTensors& tensors, const std::string& name) {
  for (const auto& [candidate, tensor] : tensors) {
    if (candidate == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

TEST(DynamicModel, PrintsTheArchitectureAsATree) {
  const auto model = testing::dynamic_model_of(kOneConvolution);
  std::ostringstream out;
  out << model;
  EXPECT_EQ(out.str(),
            "Model(\n"
            "  (conv): DynamicConv2d(\n"
            "    3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)\n"
            "    (mutable_attrs): ModuleDict(\n"
            "      (in_channels): MutableChannelContainer(name=, num_channels=3, "
            "activated_channels: 3)\n"
            "      (out_channels): MutableChannelContainer(name=, num_channels=8, "
            "activated_channels: 8)\n"
            "    )\n"
            "  )\n"
            ")");
  EXPECT_THAT(model.text(2), HasSubstr("\n    (conv): DynamicConv2d(\n      3, 8,"));
}

TEST(DynamicModel, PrintsActivatedChannelsOfTheCurrentKeep) {
  auto model = testing::dynamic_model_of(with_momentum("0.1"));
  Keep keep(model.combing());
  for (const size_t channel : {1, 4, 6})
    keep.set(model.combing().groups[0].blocks[0][channel], false);
  model.set_keep(keep);
  const auto text = model.text();
  EXPECT_THAT(text, HasSubstr("  (feature): Sequential(\n    (0): DynamicConv2d("));
  EXPECT_THAT(text, HasSubstr("(1): DynamicBatchNorm2d(\n      8, eps=1e-05, momentum=0.1, "
                              "affine=True, track_running_stats=True\n"));
  EXPECT_THAT(text, HasSubstr("(out_channels): MutableChannelContainer(name=, num_channels=8, "
                              "activated_channels: 5)"));
  EXPECT_THAT(text, HasSubstr("kernel_size=(1, 1), stride=(1, 1), bias=False"));
}

TEST(DynamicModel, ContainerOfAConcatenationHasParts) {
  const Source source{
      "cat",
      {{"a.weight", {8, 3, 1, 1}}, {"b.weight", {6, 3, 1, 1}}, {"c.weight", {4, 14, 1, 1}}},
      "def forward(self, x):\n"
      "  y = torch.conv2d(x, self.a.weight)\n"
      "  z = torch.conv2d(x, self.b.weight)\n"
      "  return torch.conv2d(torch.cat([y, z], 1), self.c.weight)\n",
      {2, 3, 5, 5}};
  auto model = testing::dynamic_model_of(source);
  Keep keep(model.combing());
  const auto* unit = model.combing().find("b_(0, 6)_out_1_in_1");
  ASSERT_NE(unit, nullptr);
  keep.set(unit->blocks[0][2], false);
  model.set_keep(keep);
  const auto container = model.channels("c", "in_channels");
  EXPECT_EQ(container.num_channels(), 14);
  EXPECT_EQ(container.activated_channels(), 13);
  EXPECT_FALSE(container.mask()[10]);
  ASSERT_EQ(container.parts().size(), 2u);
  EXPECT_EQ(container.parts()[0].end, 8);
  EXPECT_EQ(container.parts()[1].unit, "b_(0, 6)_out_1_in_1");
  EXPECT_THAT(container.text(), HasSubstr("(8, 14): b_(0, 6)_out_1_in_1"));
  EXPECT_THROW(model.channels("d", "in_channels"), Error);
  EXPECT_THROW(model.channels("c", "num_features"), Error);
}

TEST(DynamicModel, BatchNormLeavesStatisticsOfRemovedChannels) {
  for (const auto mode : {RunMode::kMasked, RunMode::kCompact}) {
    auto model = testing::dynamic_model_of(with_momentum("0.1"));
    Keep keep(model.combing());
    keep.set(model.combing().groups[0].blocks[0][3], false);
    model.set_keep(keep);
    model.set_mode(mode);
    model.train();
    const auto mean = named(model.named_buffers(), "feature.1.running_mean");
    const auto before = mean.clone();
    model.forward(example(kTwoConvolutions, 2));
    const auto changed = mean.ne(before);
    EXPECT_EQ(changed.sum().item<int64_t>(), 7);
    EXPECT_FALSE(changed[3].item<bool>());
    EXPECT_EQ(named(model.named_buffers(), "feature.1.num_batches_tracked").item<int64_t>(), 1);
    model.train(false);
    const auto kept = mean.clone();
    model.forward(example(kTwoConvolutions, 2));
    EXPECT_TRUE(mean.equal(kept));
  }
}

TEST(DynamicModel, NoMomentumAveragesOverAllBatches) {
  auto model = testing::dynamic_model_of(with_momentum("0.0"));
  model.train();
  at::Tensor sum;
  for (const uint64_t seed : {1, 2, 3}) {
    at::Tensor batch_mean;
    model.forward({example(kTwoConvolutions, 2, seed)}, [&](const Op& op, Tensors& values) {
      if (op.kind != "aten::batch_norm") return;
      batch_mean = values[static_cast<size_t>(op.tensor("input"))].detach().mean({0, 2, 3});
    });
    sum = sum.defined() ? sum + batch_mean : batch_mean;
  }
  EXPECT_LE(error_of(named(model.named_buffers(), "feature.1.running_mean"), sum / 3), 1e-12);
}

TEST(DynamicModel, DropoutFollowsTheMode) {
  auto model = testing::dynamic_model_of(with_momentum("0.1"));
  const auto x = example(kTwoConvolutions, 2);
  EXPECT_TRUE(model.forward(x).equal(model.forward(x)));
  model.train();
  EXPECT_TRUE(model.is_training());
  EXPECT_FALSE(model.forward(x).equal(model.forward(x)));
}

TEST(DynamicModel, DrawsTheSameNumbersAsTheOriginal) {
  auto module = testing::module_of(with_momentum("0.1"));
  module.train();
  auto model = testing::dynamic_model_of(with_momentum("0.1"));
  model.train();
  const auto x = example(kTwoConvolutions, 2);
  torch::manual_seed(3);
  const auto expected = module.forward({x}).toTensor();
  torch::manual_seed(3);
  EXPECT_TRUE(model.forward(x).equal(expected));
}

TEST(DynamicModel, SharesParametersUntilItShrinks) {
  auto module = testing::module_of(with_momentum("0.1"));
  auto model = std::make_shared<const Model>(import_module(module, {example(kTwoConvolutions, 2)}));
  auto combing = std::make_shared<const Combing>(comb(*model));
  DynamicModel dynamic(model, combing);
  const auto head = module.attr("head").toModule().attr("weight").toTensor();
  EXPECT_TRUE(named(dynamic.named_parameters(), "head.weight").is_same(head));

  dynamic.set_keep(testing::half_of(*combing, 1));
  dynamic.shrink();
  const auto small = named(dynamic.named_parameters(), "head.weight");
  EXPECT_LT(small.size(1), 8);
  EXPECT_TRUE(small.requires_grad());
  EXPECT_EQ(head.size(1), 8);
  EXPECT_TRUE(dynamic.masks().whole());
  EXPECT_THAT(dynamic.text(),
              HasSubstr("DynamicBatchNorm2d(\n      " + std::to_string(small.size(1))));
  dynamic.train();
  dynamic.forward(example(kTwoConvolutions, 2)).sum().backward();
  EXPECT_TRUE(small.grad().defined());
  EXPECT_FALSE(head.grad().defined());
}

TEST(DynamicModel, RefusesWrongInputs) {
  auto model = testing::dynamic_model_of(kOneConvolution);
  EXPECT_THROW(model.forward(std::vector<at::Tensor>{}), Error);
  try {
    model.forward(torch::zeros({3, 6, 6}, torch::kDouble));
    FAIL() << "an input of three dimensions was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("3 dimensions"));
    EXPECT_THAT(error.what(), HasSubstr("4 dimensions"));
  }
}

/// A user's op: counts its masked runs.
class CountingRelu : public PassThroughOp {
 public:
  CountingRelu(const Model& model, OpId op, int* runs) : PassThroughOp(model, op), runs_(runs) {}
  void run_masked(OpRun& run) const override {
    ++*runs_;
    PassThroughOp::run_masked(run);
  }

 private:
  int* runs_;
};

TEST(DynamicModel, TakesDynamicOpsOfTheUser) {
  auto model = std::make_shared<const Model>(
      import_module(testing::module_of(with_momentum("0.1")), {example(kTwoConvolutions, 2)}));
  auto combing = std::make_shared<const Combing>(comb(*model));
  int runs = 0;
  DynamicOpTable table = default_dynamic_ops();
  table.add("aten::relu", [&](const Model& of, OpId op) {
    return std::make_unique<CountingRelu>(of, op, &runs);
  });
  DynamicModel dynamic(model, combing, default_rules(), table);
  dynamic.forward(example(kTwoConvolutions, 2));
  EXPECT_EQ(runs, 0);
  dynamic.set_keep(testing::half_of(*combing, 1));
  dynamic.forward(example(kTwoConvolutions, 2));
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace cpd
