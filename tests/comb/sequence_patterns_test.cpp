#include "pattern.h"

namespace cpd::testing {
namespace {

/// Networks that walk along a sequence: recurrent cells, causal convolutions, state spaces.
class SequencePattern : public Pattern {};

std::vector<Network> recurrent_ops() {
  return {
      // Filters over words (Kim 2014): as wide as the embedding, they slide along the words alone.
      after_linear("kernel_as_wide_as_the_words", 8,
                   "    y = torch.conv2d(y.unsqueeze(1), self.filters, self.bias)\n"
                   "    y = torch.relu(y).squeeze(3).amax([2])\n",
                   6, "plain 6 exact; plain 8 exact", {{"filters", {6, 1, 3, 8}}, {"bias", {6}}}),
      after_linear("kernel_that_leaves_the_edge_of_the_words", 8,
                   "    y = torch.conv2d(y.unsqueeze(1), self.filters, None, [1, 8], [0, 1])\n"
                   "    y = torch.relu(y).mean([2, 3])\n",
                   6, "plain 6 exact", {{"filters", {6, 1, 3, 8}}}),
      after_linear(
          "states_for_each_layer", 8,
          "    h, c = torch.zeros([1, x.size(0), 6], dtype=7), torch.zeros([1, x.size(0), 6], "
          "dtype=7)\n"
          "    y, a, e = torch.lstm(y, [h, c], [self.wi, self.wh, self.bi, self.bh], True, 1, "
          "0.0, False, False, True)\n"
          "    g, d = torch.zeros([1, x.size(0), 4], dtype=7), torch.zeros([1, x.size(0), 4], "
          "dtype=7)\n"
          "    y, a, e = torch.lstm(y, [g, d], [self.vi, self.vh], False, 1, 0.0, False, "
          "False, True)\n",
          4, "plain 4 exact; plain 6 exact; plain 8 exact",
          {{"wi", {24, 8}},
           {"wh", {24, 6}},
           {"bi", {24}},
           {"bh", {24}},
           {"vi", {16, 6}},
           {"vh", {16, 4}}}),
      staying(after_linear(
                  "projected_state", 8,
                  "    h = torch.zeros([1, x.size(0), 3], dtype=7)\n"
                  "    c = torch.zeros([1, x.size(0), 8], dtype=7)\n"
                  "    y, a, e = torch.lstm(y, [h, c], [self.wi, self.wh, self.wr], False, 1, 0.0, "
                  "False, False, True)\n",
                  3, "plain 3 exact; plain 4 exact; plain 8 exact",
                  {{"wi", {32, 8}}, {"wh", {32, 3}}, {"wr", {3, 8}}}),
              {"wr[1] 4"}),
      after_linear(
          "learned_state_of_two_directions", 8,
          "    h = self.start.expand([-1, x.size(0), -1]).contiguous()\n"
          "    w = [self.wi, self.wh, self.ri, self.rh]\n"
          "    y, a = torch.rnn_tanh(y, h, w, False, 1, 0.0, False, True, True)\n",
          12, "plain 6 exact; plain 8 exact",
          {{"start", {2, 1, 6}}, {"wi", {6, 8}}, {"wh", {6, 6}}, {"ri", {6, 8}}, {"rh", {6, 6}}}),
      after_linear("last_state_only", 8,
                   "    h = torch.zeros([1, x.size(0), 6], dtype=7)\n"
                   "    o, a = torch.gru(y, h, [self.wi, self.wh, self.bi, self.bh], True, 1, 0.0, "
                   "False, False, True)\n"
                   "    y = a[-1]\n",
                   6, "plain 6 exact; plain 8 exact",
                   {{"wi", {18, 8}}, {"wh", {18, 6}}, {"bi", {18}}, {"bh", {18}}}),
      after_linear(
          "time_first", 8,
          "    h = torch.zeros([1, x.size(0), 6], dtype=7)\n"
          "    o, a, e = torch.lstm(y.transpose(0, 1), [h, h], [self.wi, self.wh], False, 1, "
          "0.0, False, False, False)\n"
          "    y = torch.cat([o.transpose(0, 1)[:, -1], e[0]], 1)\n",
          12, "plain 6 exact; plain 8 exact", {{"wi", {24, 8}}, {"wh", {24, 6}}}),
      after_linear(
          "state_handed_to_a_decoder", 8,
          "    h = torch.zeros([1, x.size(0), 6], dtype=7)\n"
          "    o, a = torch.gru(y, h, [self.wi, self.wh], False, 1, 0.0, False, False, True)\n"
          "    y, a = torch.gru(torch.relu(y), a, [self.vi, self.vh], False, 1, 0.0, False, "
          "False, True)\n",
          6, "plain 6 exact; plain 8 exact",
          {{"wi", {18, 8}}, {"wh", {18, 6}}, {"vi", {18, 8}}, {"vh", {18, 6}}}),
      after_linear("cells_one_after_the_other", 8,
                   "    h = torch.zeros([x.size(0), 6], dtype=7)\n    all = []\n"
                   "    for t in range(y.size(1)):\n"
                   "        h = torch.gru_cell(y[:, t], h, self.wi, self.wh, self.bi, self.bh)\n"
                   "        all.append(h)\n"
                   "    y = torch.stack(all, 1)\n",
                   6, "plain 6 exact; plain 8 exact",
                   {{"wi", {18, 8}}, {"wh", {18, 6}}, {"bi", {18}}, {"bh", {18}}}),
      after_linear(
          "cells_with_memory", 8,
          "    h, c = torch.zeros([x.size(0), 6], dtype=7), torch.zeros([x.size(0), 6], "
          "dtype=7)\n"
          "    for t in range(3):\n"
          "        h, c = torch.lstm_cell(y[:, t], [h, c], self.wi, self.wh, self.bi, self.bh)\n"
          "    y = torch.tanh(h) + c\n",
          6, "plain 6 exact; plain 8 exact",
          {{"wi", {24, 8}}, {"wh", {24, 6}}, {"bi", {24}}, {"bh", {24}}}),
      after_linear(
          "cells_by_hand", 8,
          "    h = torch.zeros([x.size(0), 6], dtype=7)\n"
          "    for t in range(3):\n"
          "        z, r = torch.chunk(torch.sigmoid(torch.linear(torch.cat([y[:, t], h], 1), "
          "self.wg)), 2, 1)\n"
          "        n = torch.tanh(torch.linear(torch.cat([y[:, t], r * h], 1), self.wn))\n"
          "        h = (1 - z) * h + z * n\n"
          "    y = h\n",
          6, "plain 6 exact; plain 8 exact", {{"wg", {12, 14}}, {"wn", {6, 14}}}),
  };
}

std::vector<Network> convolutions_and_states() {
  return {
      after_linear("causal_convolutions", 8,
                   "    t = torch.constant_pad_nd(y.transpose(1, 2), [2, 0], 0)\n"
                   "    t = torch.relu(torch.conv1d(t, self.a))\n"
                   "    t = torch.conv1d(t, self.b, None, [1], [4], [2])[:, :, :-4]\n"
                   "    y = y + t.transpose(1, 2)\n",
                   8, "plain 6 exact; plain 8 exact", {{"a", {6, 8, 3}}, {"b", {8, 6, 3}}}),
      after_linear("gated_with_skips", 8,
                   "    t = y.transpose(1, 2)\n    skips = []\n"
                   "    for d in [1, 2]:\n"
                   "        z = torch.conv1d(t, self.wide, None, [1], [d], [d])\n"
                   "        a, b = torch.chunk(z, 2, 1)\n"
                   "        z = torch.tanh(a) * torch.sigmoid(b)\n"
                   "        skips.append(torch.conv1d(z, self.skip))\n"
                   "        t = t + torch.conv1d(z, self.narrow)\n"
                   "    y = torch.stack(skips).sum(0).transpose(1, 2)\n",
                   4, "plain 4 exact; plain 6 exact; plain 8 exact",
                   {{"wide", {12, 8, 3}}, {"skip", {4, 6, 1}}, {"narrow", {8, 6, 1}}}),
      after_linear("masks_for_two_sources", 8,
                   "    t = y.transpose(1, 2)\n"
                   "    n = torch.group_norm(t, 1, self.scale)\n"
                   "    m = torch.sigmoid(torch.conv1d(n, self.mask)).view([-1, 2, 8, 5])\n"
                   "    t = (m * t.unsqueeze(1)).flatten(0, 1)\n"
                   "    t = torch.conv_transpose1d(t, self.decode, None, [2])\n"
                   "    y = t.view([-1, 2, 11])[:, :, :8]\n",
                   8, "plain 8 statistics",
                   {{"scale", {8}}, {"mask", {16, 8, 1}}, {"decode", {8, 1, 3}}}),
      after_linear("selective_state_space", 8,
                   "    p = torch.linear(y, self.project)\n"
                   "    d, B, C = torch.split(p, [2, 3, 3], -1)\n"
                   "    d = torch.softplus(torch.linear(d, self.delta, self.shift))\n"
                   "    A = -torch.exp(self.log_a)\n"
                   "    h = torch.zeros([y.size(0), 8, 3], dtype=7)\n    all = []\n"
                   "    for t in range(y.size(1)):\n"
                   "        a = torch.exp(d[:, t].unsqueeze(-1) * A)\n"
                   "        b = d[:, t].unsqueeze(-1) * B[:, t].unsqueeze(1)\n"
                   "        h = a * h + b * y[:, t].unsqueeze(-1)\n"
                   "        all.append((h * C[:, t].unsqueeze(1)).sum(-1))\n"
                   "    y = torch.stack(all, 1) + y * self.skip\n",
                   8, "plain 2 exact; plain 3 operand; plain 8 exact",
                   {{"project", {8, 8}},
                    {"delta", {8, 2}},
                    {"shift", {8}},
                    {"log_a", {8, 3}},
                    {"skip", {8}}}),
      after_linear(
          "weighted_keys_over_time", 8,
          "    k, v, r = torch.linear(y, self.k), torch.linear(y, self.v), "
          "torch.sigmoid(torch.linear(y, self.r))\n"
          "    w = torch.exp(self.decay)\n"
          "    num, den = torch.zeros_like(v[:, 0]), torch.zeros_like(v[:, 0])\n    all = []\n"
          "    for t in range(y.size(1)):\n"
          "        e = torch.exp(k[:, t])\n"
          "        num = torch.exp(-w) * num + e * v[:, t]\n"
          "        den = torch.exp(-w) * den + e\n"
          "        all.append(num / (den + 1e-3))\n"
          "    y = r * torch.stack(all, 1)\n",
          6, "plain 6 exact; plain 8 exact",
          {{"k", {6, 8}}, {"v", {6, 8}}, {"r", {6, 8}}, {"decay", {6}}}),
      after_linear("additive_attention", 8,
                   "    q = torch.linear(y, self.q).unsqueeze(2)\n"
                   "    k = torch.linear(y, self.k).unsqueeze(1)\n"
                   "    w = torch.linear(torch.tanh(q + k), self.v).squeeze(-1)\n"
                   "    y = torch.bmm(torch.softmax(w, -1), y)\n",
                   8, "plain 6 exact; plain 8 exact",
                   {{"q", {6, 8}}, {"k", {6, 8}}, {"v", {1, 6}}}),
      after_linear(
          "scores_of_two_halves", 8,
          "    z = torch.linear(y, self.w)\n"
          "    s = torch.matmul(z, self.a[:6]) + torch.matmul(z, self.a[6:]).transpose(1, 2)\n"
          "    y = torch.matmul(torch.softmax(torch.leaky_relu(s, 0.2), -1), z)\n",
          6, "plain 6 exact; plain 8 exact", {{"w", {6, 8}}, {"a", {12, 1}}}),
      after_linear(
          "neighbours_by_data", 8,
          "    d = -torch.cdist(x, x)\n"
          "    i = torch.topk(d, 2, -1)[1].reshape([x.size(0), -1, 1]).expand([-1, -1, 8])\n"
          "    f = torch.gather(y, 1, i).view([x.size(0), 5, 2, 8])\n"
          "    c = y.unsqueeze(2).expand([-1, -1, 2, -1])\n"
          "    f = torch.cat([f - c, c], -1)\n"
          "    y = torch.relu(torch.linear(f, self.edge)).amax(2)\n",
          6, "plain 6 exact; plain 8 exact", {{"edge", {6, 16}}}),
      after_linear("points_turned_by_a_network", 4,
                   "    t = torch.relu(torch.linear(y, self.a)).amax(1)\n"
                   "    t = torch.linear(t, self.b).view([-1, 4, 4]) + torch.eye(4, dtype=7)\n"
                   "    y = torch.relu(torch.linear(torch.bmm(y, t), self.c))\n",
                   7, "plain 4 exact; plain 6 exact; plain 7 exact; rows 4 operand",
                   {{"a", {6, 4}}, {"b", {16, 6}}, {"c", {7, 4}}}),
      after_linear(
          "graph_by_adjacency", 8,
          "    y = torch.relu(torch.matmul(self.adjacency, torch.linear(y, self.a)))\n"
          "    y = torch.einsum(\"kij,bjc->bkic\", [self.powers, y]).permute([0, 2, 1, 3])\n"
          "    y = y.flatten(2)\n",
          18, "plain 3 exact; plain 5 exact; plain 6 exact; plain 8 exact",
          {buffer("adjacency", {5, 5}), buffer("powers", {3, 5, 5}), {"a", {6, 8}}}),
      after_linear("waves_of_random_directions", 8,
                   "    p = torch.matmul(y, self.directions)\n"
                   "    y = torch.cat([torch.sin(p), torch.cos(p)], -1)\n",
                   12, "plain 6 exact; plain 8 exact", {buffer("directions", {8, 6})}),
      after_linear("mean_and_spread_of_a_code", 12,
                   "    m, s = torch.chunk(y, 2, -1)\n"
                   "    y = m + torch.exp(0.5 * s) * self.noise\n",
                   6, "plain 6 exact", {buffer("noise", {5, 6})}),
      after_linear("products_of_pairs_of_fields", 8,
                   "    g = torch.bmm(y, y.transpose(1, 2))\n"
                   "    y = torch.cat([g.flatten(1)[:, self.upper], y[:, 0]], 1)\n",
                   12, "plain 8 operand", {indices("upper", {1, 2, 7, 13})}),
  };
}

TEST_P(SequencePattern, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Recurrent, SequencePattern, ::testing::ValuesIn(recurrent_ops()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(State, SequencePattern, ::testing::ValuesIn(convolutions_and_states()),
                         name_of_pattern);

}  // namespace
}  // namespace cpd::testing
