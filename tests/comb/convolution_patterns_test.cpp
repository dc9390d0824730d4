#include "pattern.h"

namespace cpd::testing {
namespace {

class ConvolutionPattern : public Pattern {};

std::vector<Network> plain_networks() {
  return {
      {"residual",
       {{"stem", {8, 3, 3, 3}},
        {"scale", {8}},
        {"shift", {8}},
        buffer("mean", {8}),
        buffer("var", {8}),
        {"body", {8, 8, 3, 3}},
        {"head", {5, 8}},
        {"bias", {5}}},
       R"(
def forward(self, x):
    y = torch.conv2d(x, self.stem, None, [1, 1], [1, 1])
    y = torch.relu(torch.batch_norm(y, self.scale, self.shift, self.mean, self.var, False, 0.1, 1e-5, True))
    y = y + torch.conv2d(y, self.body, None, [1, 1], [1, 1])
    return torch.linear(torch.adaptive_avg_pool2d(y, [1, 1]).flatten(1), self.head, self.bias)
)",
       {{2, 3, 6, 6}},
       "plain 8 exact"},
      {"flatten",
       {{"stem", {8, 3, 3, 3}}, {"head", {5, 288}}},
       R"(
def forward(self, x):
    return torch.linear(torch.conv2d(x, self.stem, None, [1, 1], [1, 1]).flatten(1), self.head)
)",
       {{2, 3, 6, 6}},
       "plain 8 exact"},
      {"flatten_channels_last",
       {{"stem", {8, 3, 3, 3}}, {"head", {5, 288}}},
       R"(
def forward(self, x):
    y = torch.conv2d(x, self.stem, None, [1, 1], [1, 1]).permute([0, 2, 3, 1])
    return torch.linear(y.flatten(1), self.head)
)",
       {{2, 3, 6, 6}},
       "plain 8 exact"},
      {"squeeze_excitation",
       {{"stem", {8, 3, 1, 1}},
        {"down", {4, 8, 1, 1}},
        {"up", {8, 4, 1, 1}},
        {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(x, self.stem)
    gate = torch.relu(torch.conv2d(torch.adaptive_avg_pool2d(y, [1, 1]), self.down))
    return torch.conv2d(y * torch.sigmoid(torch.conv2d(gate, self.up)), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 4 exact; plain 8 exact"},
      {"split_attention",
       {{"left", {8, 3, 1, 1}},
        {"right", {8, 3, 1, 1}},
        {"down", {4, 8}},
        {"up", {16, 4}},
        {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.stack([torch.conv2d(x, self.left), torch.conv2d(x, self.right)], 1)
    pooled = y.sum(1).mean([2, 3])
    gate = torch.linear(torch.relu(torch.linear(pooled, self.down)), self.up)
    gate = torch.softmax(gate.view([-1, 2, 8]), 1).view([-1, 2, 8, 1, 1])
    return torch.conv2d((y * gate).sum(1), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 4 exact; plain 8 exact"},
      {"dense_block",
       {{"stem", {8, 3, 1, 1}},
        {"first", {4, 8, 3, 3}},
        {"second", {4, 12, 3, 3}},
        {"head", {5, 16, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(x, self.stem)
    y = torch.cat([y, torch.conv2d(torch.relu(y), self.first, None, [1, 1], [1, 1])], 1)
    y = torch.cat([y, torch.conv2d(torch.relu(y), self.second, None, [1, 1], [1, 1])], 1)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 4 exact; plain 4 exact; plain 8 exact"},
      {"option_a_shortcut",
       {{"stem", {8, 3, 3, 3}}, {"body", {16, 8, 3, 3}}, {"head", {5, 16, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(x, self.stem, None, [1, 1], [1, 1])
    short = torch.constant_pad_nd(y[:, :, ::2, ::2], [0, 0, 0, 0, 4, 4], 0)
    return torch.conv2d(short + torch.conv2d(y, self.body, None, [2, 2], [1, 1]), self.head)
)",
       {{2, 3, 6, 6}},
       "plain 8 exact; plain 8 exact"},
      {"twice_the_same",
       {{"stem", {8, 3, 1, 1}}, {"body", {8, 8, 1, 1}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.relu(torch.conv2d(torch.conv2d(x, self.stem), self.body))
    return torch.conv2d(torch.relu(torch.conv2d(y, self.body)), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"gated_by_chunk",
       {{"stem", {16, 3, 1, 1}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    a, b = torch.chunk(torch.conv2d(x, self.stem), 2, 1)
    return torch.conv2d(a * torch.sigmoid(b), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"prelu",
       {{"stem", {8, 3, 1, 1}}, {"slope", {8}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    return torch.conv2d(torch.prelu(torch.conv2d(x, self.stem), self.slope), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"one_slope",
       {{"stem", {8, 3, 1, 1}}, {"slope", {1}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    return torch.conv2d(torch.prelu(torch.conv2d(x, self.stem), self.slope), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"transposed",
       {{"stem", {8, 3, 3, 3}}, {"up", {8, 6, 2, 2}}, {"head", {5, 6, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(x, self.stem)
    return torch.conv2d(torch.relu(torch.conv_transpose2d(y, self.up, None, [2, 2])), self.head)
)",
       {{2, 3, 6, 6}},
       "plain 6 exact; plain 8 exact"},
      {"one_dimension",
       {{"stem", {8, 3, 3}}, {"head", {5, 8, 1}}},
       R"(
def forward(self, x):
    return torch.conv1d(torch.max_pool1d(torch.conv1d(x, self.stem), [2]), self.head)
)",
       {{2, 3, 9}},
       "plain 8 exact"},
      {"returned",
       {{"stem", {8, 3, 1, 1}}},
       R"(
def forward(self, x):
    return torch.conv2d(x, self.stem)
)",
       {{2, 3, 4, 4}},
       "none"},
  };
}

std::vector<Network> grouped_networks() {
  return {
      {"grouped",
       {{"stem", {12, 3, 1, 1}}, {"groups", {24, 3, 3, 3}}, {"head", {5, 24, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(torch.conv2d(x, self.stem), self.groups, None, [1, 1], [1, 1], [1, 1], 4)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "columns 3 x4 exact; columns 6 x4 exact; rows 4 exact"},
      {"grouped_then_coarser",
       {{"stem", {32, 3, 1, 1}},
        {"fine", {32, 8, 1, 1}},
        {"coarse", {32, 16, 1, 1}},
        {"head", {5, 32, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(torch.conv2d(x, self.stem), self.fine, None, [1, 1], [0, 0], [1, 1], 4)
    y = torch.conv2d(y, self.coarse, None, [1, 1], [0, 0], [1, 1], 2)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "columns 16 x2 exact; columns 8 x4 exact; columns 8 x4 exact; rows 2 exact; rows 2 x2 "
       "exact"},
      {"grouped_transposed",
       {{"stem", {12, 3, 1, 1}}, {"groups", {12, 6, 2, 2}}, {"head", {5, 24, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv_transpose2d(torch.conv2d(x, self.stem), self.groups, None, [2, 2], [0, 0], [0, 0], 4)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "columns 3 x4 exact; columns 6 x4 exact; rows 4 exact"},
      {"grouped_shuffle_grouped",
       {{"stem", {16, 3, 1, 1}},
        {"first", {32, 4, 1, 1}},
        {"second", {16, 8, 1, 1}},
        {"head", {5, 16, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(torch.conv2d(x, self.stem), self.first, None, [1, 1], [0, 0], [1, 1], 4)
    y = torch.channel_shuffle(y, 4)
    y = torch.conv2d(y, self.second, None, [1, 1], [0, 0], [1, 1], 4)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "columns 2 x16 exact; columns 4 x4 exact; columns 4 x4 exact; rows 4 exact; rows 4 exact"},
      {"depthwise",
       {{"stem", {8, 3, 1, 1}}, {"depth", {8, 1, 3, 3}}, {"bias", {8}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(torch.conv2d(x, self.stem), self.depth, self.bias, [1, 1], [1, 1], [1, 1], 8)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"depthwise_with_multiplier",
       {{"stem", {8, 3, 1, 1}}, {"depth", {16, 1, 3, 3}}, {"bias", {16}}, {"head", {5, 16, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.conv2d(torch.conv2d(x, self.stem), self.depth, self.bias, [1, 1], [1, 1], [1, 1], 8)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "columns 2 x8 exact; rows 8 exact"},
      {"channel_shuffle",
       {{"stem", {8, 3, 1, 1}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    return torch.conv2d(torch.channel_shuffle(torch.conv2d(x, self.stem), 2), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"channel_shuffle_by_views",
       {{"stem", {8, 3, 1, 1}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    b, c, h, w = x.shape
    y = torch.conv2d(x, self.stem).view([b, 2, 4, h, w]).transpose(1, 2).contiguous()
    return torch.conv2d(y.view([b, 8, h, w]), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"shuffle_unit",
       {{"stem", {16, 3, 1, 1}},
        {"first", {8, 8, 1, 1}},
        {"depth", {8, 1, 3, 3}},
        {"last", {8, 8, 1, 1}},
        {"head", {5, 16, 1, 1}}},
       R"(
def forward(self, x):
    a, b = torch.chunk(torch.conv2d(x, self.stem), 2, 1)
    b = torch.relu(torch.conv2d(b, self.first))
    b = torch.conv2d(b, self.depth, None, [1, 1], [1, 1], [1, 1], 8)
    b = torch.relu(torch.conv2d(b, self.last))
    y = torch.channel_shuffle(torch.cat([a, b], 1), 2)
    a, b = torch.chunk(y, 2, 1)
    return torch.conv2d(torch.cat([torch.relu(a), b], 1), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 4 exact; plain 4 exact; plain 4 exact; plain 4 exact; plain 8 exact; plain 8 exact"},
      {"group_norm",
       {{"stem", {12, 3, 1, 1}}, {"scale", {12}}, {"shift", {12}}, {"head", {5, 12, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.group_norm(torch.conv2d(x, self.stem), 3, self.scale, self.shift)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "columns 4 x3 statistics; rows 3 exact"},
      {"instance_norm",
       {{"stem", {8, 3, 1, 1}}, {"scale", {8}}, {"shift", {8}}, {"head", {5, 8, 1, 1}}},
       R"(
def forward(self, x):
    y = torch.instance_norm(torch.conv2d(x, self.stem), self.scale, self.shift, None, None, True, 0.1, 1e-5, True)
    return torch.conv2d(torch.relu(y), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 8 exact"},
      {"weight_standardisation",
       {{"stem", {8, 3, 1, 1}}, {"body", {6, 8, 3, 3}}, {"head", {5, 6, 1, 1}}},
       R"(
def forward(self, x):
    w = self.body - self.body.mean([1, 2, 3], True)
    w = w / (w.std([1, 2, 3], True, True) + 1e-3)
    return torch.conv2d(torch.relu(torch.conv2d(torch.conv2d(x, self.stem), w)), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 6 exact; plain 8 statistics"},
      {"weight_norm",
       {{"stem", {8, 3, 1, 1}},
        {"direction", {6, 8, 3, 3}},
        {"length", {6, 1, 1, 1}},
        {"head", {5, 6, 1, 1}}},
       R"(
def forward(self, x):
    w = torch._weight_norm(self.direction, self.length, 0)
    return torch.conv2d(torch.relu(torch.conv2d(torch.conv2d(x, self.stem), w)), self.head)
)",
       {{2, 3, 4, 4}},
       "plain 6 exact; plain 8 operand"},
  };
}

TEST_P(ConvolutionPattern, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Plain, ConvolutionPattern, ::testing::ValuesIn(plain_networks()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Grouped, ConvolutionPattern, ::testing::ValuesIn(grouped_networks()),
                         name_of_pattern);

}  // namespace
}  // namespace cpd::testing
