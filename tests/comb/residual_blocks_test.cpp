#include <gmock/gmock.h>

#include "pattern.h"

namespace cpd::testing {
namespace {

/// Networks with residual branches, and twins that multiply these by 1 or 0.
class ResidualBlocks : public Pattern {};

/// A body whose branches stand between angle brackets. The network has them as they are; its twin
/// multiplies them by their masks.
Network with_branches(Network network, std::vector<std::string> blocks) {
  network.twin = network.source;
  size_t number = 0;
  for (size_t open; (open = network.twin.find('<')) != std::string::npos;) {
    network.twin.replace(open, 1, "self.there_" + std::to_string(number++) + " * (");
  }
  for (size_t close; (close = network.twin.find('>')) != std::string::npos;) {
    network.twin.replace(close, 1, ")");
  }
  for (char& letter : network.source) {
    if (letter == '<') letter = '(';
    if (letter == '>') letter = ')';
  }
  network.blocks = std::move(blocks);
  return network;
}

std::vector<Network> convolutions() {
  return {
      with_branches(
          after_stem("one", 8,
                     "    y = torch.relu(y + <torch.conv2d(torch.relu(torch.conv2d(y, self.a)), "
                     "self.b)>)\n",
                     8, "plain 6 exact; plain 8 exact", {{"a", {6, 8, 1, 1}}, {"b", {8, 6, 1, 1}}}),
          {"a#block"}),
      with_branches(
          after_stem("two_with_norms", 8,
                     "    z = torch.batch_norm(torch.conv2d(y, self.a), self.g, self.h, self.mean, "
                     "self.var, False, 0.1, 1e-5, True)\n"
                     "    y = torch.relu(<z> + y)\n"
                     "    y = y + <torch.conv2d(torch.relu(torch.conv2d(y, self.b)), self.c)>\n",
                     8, "plain 4 exact; plain 8 exact",
                     {{"a", {8, 8, 1, 1}},
                      {"g", {8}},
                      {"h", {8}},
                      buffer("mean", {8}),
                      buffer("var", {8}),
                      {"b", {4, 8, 1, 1}},
                      {"c", {8, 4, 1, 1}}}),
          {"a#block", "b#block"}),
      with_branches(after_stem("one_inside_another", 8,
                               "    z = torch.conv2d(y, self.a)\n"
                               "    z = z + <torch.relu(torch.conv2d(z, self.b))>\n"
                               "    y = y + <torch.conv2d(z, self.c)>\n",
                               8, "plain 6 exact; plain 8 exact",
                               {{"a", {6, 8, 1, 1}}, {"b", {6, 6, 1, 1}}, {"c", {8, 6, 1, 1}}}),
                    {"b#block", "a#block"}),
      with_branches(after_stem("one_weight_in_two", 8,
                               "    y = y + <torch.relu(torch.conv2d(y, self.a))>\n"
                               "    y = torch.tanh(y)\n"
                               "    y = y + <torch.relu(torch.conv2d(y, self.a))>\n",
                               8, "plain 8 exact", {{"a", {8, 8, 1, 1}}}),
                    {"a#block", "a#block2"}),
      with_branches(after_stem("trunk_read_later", 8,
                               "    z = y + <torch.relu(torch.conv2d(y, self.a))>\n"
                               "    y = torch.cat([torch.tanh(z), y], 1)\n",
                               16, "plain 8 exact", {{"a", {8, 8, 1, 1}}}),
                    {"a#block"}),
      with_branches(after_stem("size_of_the_sum", 8,
                               "    y = y + <torch.relu(torch.conv2d(y, self.a))>\n"
                               "    y = y.view([y.size(0), y.size(1), 2, 8])\n",
                               8, "plain 8 exact", {{"a", {8, 8, 1, 1}}}),
                    {"a#block"}),
  };
}

std::vector<Network> transformers() {
  Network last = {"at_the_end",
                  {{"stem", {8, 10}}, {"a", {6, 8}}, {"b", {8, 6}}},
                  "def forward(self, x):\n    y = torch.linear(x, self.stem)\n"
                  "    return y + <torch.linear(torch.relu(torch.linear(y, self.a)), self.b)>\n",
                  {{2, 10}},
                  "plain 6 exact"};
  return {
      with_branches(last, {"a#block"}),
      with_branches(
          after_linear("attention_and_mlp", 12,
                       "    z = torch.layer_norm(y, [12], self.s)\n"
                       "    q, k, v = torch.linear(z, self.qkv).view([x.size(0), 5, 3, 2, "
                       "6]).permute([2, 0, 3, 1, 4]).unbind(0)\n"
                       "    w = torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * 0.4, -1)\n"
                       "    z = torch.matmul(w, v).transpose(1, 2).reshape([x.size(0), 5, 12])\n"
                       "    y = y + <torch.linear(z, self.out)>\n"
                       "    z = torch.layer_norm(y, [12], self.t)\n"
                       "    y = y + <torch.linear(torch.gelu(torch.linear(z, self.up)), self.down) "
                       "* self.gamma>\n",
                       12, "",
                       {{"s", {12}},
                        {"qkv", {36, 12}},
                        {"out", {12, 12}},
                        {"t", {12}},
                        {"up", {16, 12}},
                        {"down", {12, 16}},
                        {"gamma", {12}}}),
          {"qkv#block", "up#block"}),
  };
}

TEST_P(ResidualBlocks, Hold) { EXPECT_EQ(check_network(GetParam(), 8), ""); }

INSTANTIATE_TEST_SUITE_P(Convolution, ResidualBlocks, ::testing::ValuesIn(convolutions()),
                         name_of_pattern);

/// Masks of channels inside norms are not in these twins: whole channels only.
TEST(ResidualBlocksOfTransformers, Hold) {
  for (Network network : transformers()) {
    const Model model = make_model(network, 7);
    CombOptions options;
    options.blocks = true;
    const Combing combing = comb(model, options);
    for (size_t drop = 0; drop < (size_t{1} << combing.blocks.size()); ++drop) {
      Keep keep(combing);
      for (size_t i = 0; i < combing.blocks.size(); ++i) {
        keep.set(combing.blocks[i].primitive, (drop >> i & 1) == 0);
      }
      const Rules rules = default_rules();
      const Compaction compaction = compact(model, combing, keep, rules);
      certify(model, combing, keep, compaction, rules);
      const auto expected = run_twin(network, 7, combing, model, keep, model.example_inputs);
      const auto actual = run_compact(model, compaction, model.example_inputs);
      EXPECT_LE(relative_error(actual[0], expected[0]), 1e-12) << network.name << " " << drop;
      EXPECT_EQ(compaction.graph.ops.size() < model.graph.ops.size(), drop != 0);
    }
    network.twin.clear();
    EXPECT_EQ(check_network(network), "");
  }
}

std::vector<std::string> blocks_of(const std::string& body, std::vector<Weight> weights) {
  CombOptions options;
  options.blocks = true;
  const Model model = make_model(after_stem("blocks", 8, body, 8, "", std::move(weights)), 7);
  std::vector<std::string> names;
  for (const auto& block : comb(model, options).blocks) names.push_back(block.name);
  return names;
}

TEST(ResidualBlocksAre, OnlyBranchesThatNothingElseNeeds) {
  using ::testing::ElementsAre;
  using ::testing::IsEmpty;
  const std::vector<Weight> two = {{"a", {8, 8, 1, 1}}, {"b", {8, 8, 1, 1}}};
  const std::vector<Weight> one = {two[0]};
  const std::string branch = "    z = torch.relu(torch.conv2d(y, self.a))\n";
  EXPECT_THAT(blocks_of(branch + "    y = y + z\n", one), ElementsAre("a#block"));
  // a projection instead of the trunk itself
  EXPECT_THAT(blocks_of(branch + "    y = torch.conv2d(y, self.b) + z\n", two), IsEmpty());
  // a branch that is read once more
  EXPECT_THAT(blocks_of(branch + "    y = torch.tanh(y + z) * z\n", one), IsEmpty());
  // a branch without weights, and one that does not follow from the trunk
  EXPECT_THAT(blocks_of("    y = y + torch.relu(y)\n", {}), IsEmpty());
  EXPECT_THAT(blocks_of("    y = y + self.p\n", {{"p", {2, 8, 4, 4}}}), IsEmpty());
  // sums with a factor, products
  EXPECT_THAT(blocks_of(branch + "    y = torch.add(y, z, alpha=2)\n", one), IsEmpty());
  EXPECT_THAT(blocks_of(branch + "    y = y * z\n", one), IsEmpty());
  // a sum in another shape than its trunk
  EXPECT_THAT(blocks_of("    z = torch.conv2d(y, self.a)\n    y = y.mean([2, 3], True) + z\n", one),
              IsEmpty());
}

TEST(ResidualBlocksAre, NotOfferedUnlessAskedFor) {
  const Model model = make_model(convolutions().front(), 7);
  const Combing combing = comb(model);
  EXPECT_TRUE(combing.blocks.empty());
  EXPECT_EQ(combing.groups.size(), 2U);
}

}  // namespace
}  // namespace cpd::testing
