#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/cost/cost.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <gtest/gtest.h>
#include <support/executed_products.h>
#include <support/network.h>
#include <support/small_spec.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>

namespace cpd::testing {
namespace {

/// Parameters of the compact network, and its bytes of parameters and buffers.
std::pair<int64_t, int64_t> weights_of(const Model& model, const Compaction& compaction) {
  int64_t elements = 0, bytes = 0;
  for (const auto& entry : model.parameters) {
    const auto how = compaction.gathers.find(entry.value);
    const at::Tensor tensor = entry.value < 0 || how == compaction.gathers.end()
                                  ? entry.tensor
                                  : gather(entry.tensor, how->second);
    if (entry.role == ParameterRole::kParameter) elements += tensor.numel();
    bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return {elements, bytes};
}

std::vector<int64_t> widths_of(const Combing& combing, const Keep& keep) {
  std::vector<int64_t> widths;
  for (const auto& group : combing.groups) {
    const auto& block = group.blocks.front();
    widths.push_back(
        std::count_if(block.begin(), block.end(), [&](Primitive p) { return keep.kept(p); }));
  }
  return widths;
}

/// What is predicted of a keep equals what runs and what is there after it.
void expect_counted(const Model& model, const Combing& combing, const CostModel& costs,
                    CostsByWidth& by_widths, const Keep& keep) {
  const auto compaction = compact(model, combing, keep, default_rules());
  const Cost predicted = costs.of(keep);
  int64_t macs = 0;
  {
    ExecutedProducts executed;
    run_compact(model, compaction, model.example_inputs);
    macs = executed.macs();
  }
  EXPECT_EQ(predicted.macs, macs / batch_of(model));
  const auto [elements, bytes] = weights_of(model, compaction);
  EXPECT_EQ(predicted.parameters, elements);
  EXPECT_EQ(predicted.weight_bytes, bytes);
  const Cost counted = cost_of(model, compaction);
  EXPECT_EQ(counted.macs, predicted.macs);
  EXPECT_EQ(counted.parameters, predicted.parameters);
  EXPECT_EQ(by_widths.of(widths_of(combing, keep)), predicted);
}

/// Keeps at least two channels of each block: einsum multiplies over a dimension of one without a
/// product.
Keep wide_keep(const Combing& combing, uint64_t seed) {
  Random random(seed);
  Keep keep(combing);
  for (const auto& group : combing.groups) {
    const int64_t kept = std::min(group.of, 2 + random.below(group.of));
    for (const auto& block : group.blocks) {
      const auto order = permutation(group.of, random.next());
      for (auto i = static_cast<size_t>(kept); i < order.size(); ++i) {
        keep.set(block[static_cast<size_t>(order[i])], false);
      }
    }
  }
  return keep;
}

class EveryNetwork : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryNetwork, CostsWhatItsExportCosts) {
  const NetworkSpec spec = small_spec(GetParam());
  const auto network = make_network(spec, 1);
  network->eval();
  const Model model = trace_model(network, {torch::randn({2, 3, spec.height, spec.width})});
  const Combing combing = comb(model);
  const CostModel costs(model, combing);
  CostsByWidth by_widths(model, combing);
  expect_counted(model, combing, costs, by_widths, Keep(combing));
  const bool is_large = GetParam().ends_with("upernet");
  for (uint64_t seed = 0; seed < (is_large ? 1 : 3); ++seed) {
    expect_counted(model, combing, costs, by_widths, random_keep(combing, seed, false));
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryNetwork, ::testing::ValuesIn(network_names()),
                         [](const auto& test) { return test.param; });

std::vector<Network> patterns() {
  const std::string def = "def forward(self, x):\n";
  return {
      {"grouped_convolution",
       {{"a", {12, 3, 1, 1}}, {"g", {24, 3, 3, 3}}, {"bias", {24}}, {"b", {4, 24, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a))\n"
             "  z = torch.conv2d(y, self.g, self.bias, [1, 1], [1, 1], [1, 1], 4)\n"
             "  return torch.conv2d(torch.relu(z), self.b)\n",
       {{2, 3, 6, 6}},
       ""},
      {"transposed_convolution",
       {{"a", {3, 8, 3, 3}}, {"b", {8, 5, 2, 2}}},
       def + "  y = torch.relu(torch.conv_transpose2d(x, self.a, None, [2, 2]))\n"
             "  return torch.conv_transpose2d(y, self.b)\n",
       {{2, 3, 5, 5}},
       ""},
      {"linear_after_flatten",
       {{"a", {6, 3, 3, 3}}, {"bias", {4}}, {"b", {4, 54}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a))\n"
             "  return torch.linear(torch.flatten(y, 1), self.b, self.bias)\n",
       {{2, 3, 5, 5}},
       ""},
      {"attention",
       {{"q", {24, 10}}, {"k", {24, 10}}, {"v", {24, 10}}, {"o", {7, 24}}},
       def + "  q = torch.linear(x, self.q).view([x.size(0), 5, 4, 6]).transpose(1, 2)\n"
             "  k = torch.linear(x, self.k).view([x.size(0), 5, 4, 6]).transpose(1, 2)\n"
             "  v = torch.linear(x, self.v).view([x.size(0), 5, 4, 6]).transpose(1, 2)\n"
             "  y = torch.scaled_dot_product_attention(q, k, v)\n"
             "  return torch.linear(y.transpose(1, 2).flatten(2), self.o)\n",
       {{2, 5, 10}},
       ""},
      {"attention_by_products",
       {{"q", {24, 10}}, {"k", {24, 10}}, {"v", {24, 10}}, {"o", {7, 24}}},
       def + "  q = torch.linear(x, self.q).view([x.size(0), 5, 4, 6]).transpose(1, 2)\n"
             "  k = torch.linear(x, self.k).view([x.size(0), 5, 4, 6]).transpose(1, 2)\n"
             "  v = torch.linear(x, self.v).view([x.size(0), 5, 4, 6]).transpose(1, 2)\n"
             "  y = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)), -1), v)\n"
             "  return torch.linear(y.transpose(1, 2).flatten(2), self.o)\n",
       {{2, 5, 10}},
       ""},
      {"einsum",
       {{"a", {8, 10}}, {"b", {8, 6}}, {"o", {7, 6}}},
       def + "  y = torch.relu(torch.einsum(\"btc,nc->btn\", [x, self.a]))\n"
             "  z = torch.einsum(\"...n,nm->...m\", [y, self.b])\n"
             "  return torch.linear(torch.relu(z), self.o)\n",
       {{2, 5, 10}},
       ""},
      {"einsum_of_three",
       {{"a", {8, 10}}, {"b", {8, 6}}, {"o", {7, 6}}},
       def + "  z = torch.einsum(\"btc,nc,nm->btm\", [x, self.a, self.b])\n"
             "  return torch.linear(torch.relu(z), self.o)\n",
       {{2, 5, 10}},
       ""},
      {"lstm",
       {{"wi", {24, 10}}, {"wh", {24, 6}}, {"bi", {24}}, {"bh", {24}}, {"head", {5, 6}}},
       def + "  h = torch.zeros([1, x.size(0), 6], dtype=x.dtype)\n"
             "  y, a, b = torch.lstm(x, [h, h], [self.wi, self.wh, self.bi, self.bh], True, 1, "
             "0.0, False, False, True)\n"
             "  return torch.linear(y, self.head)\n",
       {{2, 5, 10}},
       ""},
      {"added_products",
       {{"a", {10, 8}}, {"c", {8}}, {"b", {8, 6}}},
       def + "  y = torch.relu(torch.addmm(self.c, x, self.a))\n"
             "  return torch.mm(y, self.b)\n",
       {{2, 10}},
       ""},
  };
}

class Pattern : public ::testing::TestWithParam<Network> {};

TEST_P(Pattern, CostsWhatItsExportCosts) {
  const Model model = make_model(GetParam(), 1);
  const Combing combing = comb(model);
  const CostModel costs(model, combing);
  CostsByWidth by_widths(model, combing);
  EXPECT_GT(costs.dense().macs, 0);
  expect_counted(model, combing, costs, by_widths, Keep(combing));
  for (uint64_t seed = 0; seed < 6; ++seed) {
    expect_counted(model, combing, costs, by_widths, wide_keep(combing, seed));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Pattern, ::testing::ValuesIn(patterns()),
                         [](const auto& test) { return test.param.name; });

Model model_of(const std::string& name, int64_t size) {
  auto network = make_network({name, 1000, 3, size, size}, 1);
  network->eval();
  return trace_model(network, {torch::randn({1, 3, size, size})});
}

TEST(Costs, OfResNet50AreThoseThatWerePublished) {
  const Model model = model_of("resnet50", 224);
  const Combing combing = comb(model);
  const Cost dense = CostModel(model, combing).dense();
  EXPECT_EQ(dense.macs, 4089184256);
  EXPECT_EQ(dense.parameters, 25557032);
  EXPECT_EQ(dense.memory(2), dense.weight_bytes + 2 * dense.activation_bytes);
}

TEST(Costs, OfOpsAddUpToTheNetworks) {
  const Model model = model_of("resnet20", 32);
  const Combing combing = comb(model);
  const CostModel costs(model, combing);
  const Keep keep = random_keep(combing, 3, false);
  int64_t total = 0;
  for (const OpCost& cost : costs.by_op(keep)) total += cost.macs;
  EXPECT_EQ(total, costs.of(keep).macs);
}

TEST(CostsByWidth, CountsAgainAfterEveryStepInLessThanAMillisecond) {
  const Model model = model_of("resnet50", 32);
  const Combing combing = comb(model);
  const CostModel costs(model, combing);
  CostsByWidth by_widths(model, combing);
  auto widths = by_widths.dense_widths();
  constexpr int kSteps = 400;
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < kSteps; ++step) {
    auto& width = widths[static_cast<size_t>(step) % widths.size()];
    if (width > 1) --width;
    by_widths.macs(widths);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  EXPECT_LT(elapsed.count() / kSteps, 1e-3);
  EXPECT_EQ(by_widths.of(widths), costs.of(prefix_keep(combing, widths)));
  EXPECT_EQ(by_widths.of(by_widths.dense_widths()), costs.dense());
  EXPECT_LT(by_widths.channels(widths), by_widths.channels(by_widths.dense_widths()));
  EXPECT_THROW(by_widths.macs({1}), Error);
}

}  // namespace
}  // namespace cpd::testing
