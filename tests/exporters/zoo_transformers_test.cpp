#include <cpd/core/error.h>
#include <cpd/exporters/export_pruned.h>
#include <gmock/gmock.h>
#include <support/executed_products.h>
#include <support/network.h>
#include <support/small_network.h>

#include "exported.h"

namespace cpd::testing {
namespace {

Model model_of(const std::shared_ptr<ZooNetwork>& network) {
  const Forward outputs = [&](const std::vector<at::Tensor>& inputs) {
    return network->outputs(inputs.front());
  };
  return trace_model(*network, outputs, {small_images(2)});
}

/// 1 for the elements of a tensor that one dimension of a plan keeps, read from the plan alone.
at::Tensor kept_mask(const at::Tensor& tensor, int64_t dim, const DimensionPlan& plan) {
  at::Tensor mask = torch::zeros(tensor.sizes(), tensor.options());
  const auto fill = [&](const at::Tensor& part, int64_t along, const Indices& kept) {
    part.index_fill_(along, torch::tensor(kept, torch::kLong), 1);
  };
  if (plan.along.empty()) {
    fill(mask, dim, plan.kept.front());
    return mask;
  }
  const int64_t blocks = static_cast<int64_t>(plan.kept.size());
  const int64_t length = tensor.size(plan.along.front()) / blocks;
  for (int64_t b = 0; b < blocks; ++b) {
    fill(mask.narrow(plan.along.front(), b * length, length), dim,
         plan.kept[static_cast<size_t>(b)]);
  }
  return mask;
}

/// Sets to zero what reads a removed channel.
void zero_readers(torch::nn::Module& network, const Plan& plan) {
  const torch::NoGradGuard no_grad;
  auto parameters = network.named_parameters();
  for (const auto& [name, dimensions] : plan.parameters) {
    for (const auto& [dim, dimension] : dimensions) {
      if (dimension.role != "reader") continue;
      at::Tensor& weight = parameters[name];
      const at::Tensor mask = kept_mask(weight, dim, dimension);
      weight.copy_(torch::where(mask > 0, weight, torch::zeros_like(weight)));
    }
  }
}

std::vector<at::Tensor> run_file(const std::string& path, const at::Tensor& input) {
  const torch::NoGradGuard no_grad;
  auto module = torch::jit::load(path);
  const torch::jit::IValue output = module.forward({input});
  if (output.isTensor()) return {output.toTensor()};
  std::vector<at::Tensor> outputs;
  for (const auto& item : output.toTupleRef().elements()) outputs.push_back(item.toTensor());
  return outputs;
}

void expect_near(const std::vector<at::Tensor>& actual, const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_LE(error_of(actual[i], expected[i]), 1e-9);
}

class EveryTransformer : public ExportTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(EveryTransformer, RunsExportedAsItRunsMasked) {
  ChannelMutator mutator(model_of(small_network(GetParam())), {.importance = "random"});
  for (uint64_t seed = 0; seed < 3; ++seed) {
    mutator.set_choices(mutator.sample_choices(seed));
    export_torchscript(mutator, path("pruned.pt"), {.force = true});
    const auto verification =
        verify_export(mutator.dense(), mutator.combing(), path("pruned.pt"), mutator.plan());
    EXPECT_TRUE(verification.ok()) << verification.text();
    for (const int64_t batch : {2, 3}) {
      const torch::NoGradGuard no_grad;
      expect_near(run_file(path("pruned.pt"), small_images(batch)),
                  mutator.model().forward(std::vector<at::Tensor>{small_images(batch)}));
    }
  }
}

TEST_P(EveryTransformer, EqualsTheDenseNetworkWithReadersOfZero) {
  MutatorOptions options{.importance = "random", .exact_only = true};
  ChannelMutator mutator(model_of(small_network(GetParam())), options);
  for (uint64_t seed = 3; seed < 6; ++seed) {
    mutator.set_choices(mutator.sample_choices(seed));
    export_torchscript(mutator, path("pruned.pt"), {.force = true});
    const auto zeroed = small_network(GetParam());
    zero_readers(*zeroed, mutator.plan());
    const torch::NoGradGuard no_grad;
    const auto expected = zeroed->outputs(small_images(3));
    expect_near(run_file(path("pruned.pt"), small_images(3)), expected);
    EXPECT_GT(error_of(expected[0], small_network(GetParam())->outputs(small_images(3))[0]), 1e-3);
  }
}

TEST_P(EveryTransformer, CostsWhatItsExportCosts) {
  ChannelMutator mutator(model_of(small_network(GetParam())), {.importance = "random"});
  for (uint64_t seed = 6; seed < 8; ++seed) {
    mutator.set_choices(mutator.sample_choices(seed));
    export_torchscript(mutator, path("pruned.pt"), {.force = true});
    int64_t parameters = 0;
    for (const at::Tensor& tensor : torch::jit::load(path("pruned.pt")).parameters()) {
      parameters += tensor.numel();
    }
    const ExecutedProducts products;
    run_file(path("pruned.pt"), small_images(1));
    EXPECT_EQ(mutator.cost().macs, products.macs());
    EXPECT_EQ(mutator.cost().parameters, parameters);
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryTransformer,
                         ::testing::Values("deit_tiny_patch16_224", "vit_b_16",
                                           "deit_small_upernet", "vit_b_upernet", "segformer_b0"),
                         [](const auto& test) { return test.param; });

/// `heads rows 3 exact` of each offered unit, with how often it occurs.
std::map<std::string, int> units_by_role(const Combing& combing) {
  std::map<std::string, int> units;
  for (const auto& group : combing.groups) {
    if (!group.offered) continue;
    std::string text = group.role + " " + name_of(group.kind) + " " + std::to_string(group.of);
    if (group.blocks.size() > 1) text += " x" + std::to_string(group.blocks.size());
    ++units[text + " " + name_of(group.level)];
  }
  return units;
}

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(TransformerUnits, OfADeitAreOneOfEachKindInABlockAndTheStream) {
  for (const std::string name : {"deit_tiny_patch16_224", "vit_b_16"}) {
    const Combing combing = comb(model_of(small_network(name)));
    EXPECT_THAT(units_by_role(combing),
                ElementsAre(Pair("heads rows 3 exact", 2), Pair("mlp plain 96 exact", 2),
                            Pair("qk columns 8 x3 operand", 2),
                            Pair("stream plain 24 statistics", 1), Pair("v columns 8 x3 exact", 2)))
        << name;
  }
}

/// Names of the parameters, with dimension, that a unit cuts.
std::vector<std::string> members_of(const Model& model, const ChannelGroup& group) {
  std::vector<std::string> names;
  for (const auto& member : group.members) {
    names.push_back(model.parameter(member.parameter).name + " " + std::to_string(member.dim));
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(TransformerUnits, TheStreamHoldsTokensPositionsPatchesNormsAndHead) {
  const Model model = model_of(small_network("deit_tiny_patch16_224"));
  const Combing combing = comb(model);
  const auto stream = std::find_if(combing.groups.begin(), combing.groups.end(),
                                   [](const auto& group) { return group.role == "stream"; });
  ASSERT_NE(stream, combing.groups.end());
  std::vector<std::string> expected = {
      "cls_token 2",   "head.weight 1",           "norm.bias 0",
      "norm.weight 0", "patch_embed.proj.bias 0", "patch_embed.proj.weight 0",
      "pos_embed 2"};
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    for (const char* name : {"attn.proj.bias 0", "attn.proj.weight 0", "attn.qkv.weight 1",
                             "mlp.fc1.weight 1", "mlp.fc2.bias 0", "mlp.fc2.weight 0",
                             "norm1.bias 0", "norm1.weight 0", "norm2.bias 0", "norm2.weight 0"}) {
      expected.push_back(block + name);
    }
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(members_of(model, *stream), expected);
}

TEST(TransformerUnits, AreAddressedByRole) {
  const auto model =
      std::make_shared<const Model>(model_of(small_network("deit_tiny_patch16_224")));
  for (const std::string role : {"heads", "qk", "v", "mlp", "stream"}) {
    MutatorOptions options{.importance = "random", .only = {role + ".*"}};
    ChannelMutator mutator(model, options);
    EXPECT_EQ(mutator.mutable_units().size(), role == "stream" ? 1U : 2U) << role;
    mutator.allocate({.ratio = 0.5});
    for (const auto& unit : mutator.units()) {
      const bool pruned = unit->activated_channels() < unit->num_channels();
      EXPECT_EQ(pruned, unit->group().role == role) << unit->name();
    }
  }
  MutatorOptions options{.importance = "random", .freeze = {"heads", "stream.*"}};
  EXPECT_EQ(ChannelMutator(model, options).mutable_units().size(), 6U);
}

}  // namespace
}  // namespace cpd::testing
