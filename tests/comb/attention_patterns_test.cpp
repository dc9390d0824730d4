#include "attention.h"

namespace cpd::testing {
namespace {

class AttentionPattern : public Pattern {};

std::vector<Network> projections() {
  return {
      attention("three_linears", kThreeLinears, kFree, three_linears()),
      attention("chunked",
                "    a, e, f = torch.chunk(torch.linear(x, self.qkv, self.bias), 3, -1)\n"
                "    q = a.view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = e.view([b, n, 4, 6]).transpose(1, 2)\n"
                "    v = f.view([b, n, 4, 6]).transpose(1, 2)\n",
                kFree, fused()),
      attention("heads_of_three_parts",
                "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 4, 18]).transpose(1, 2)\n"
                "    q, k, v = torch.split(y, [6, 6, 6], -1)\n",
                kFree, fused()),
      attention("fused_three_heads_width",
                "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 3, 4, 6])\n"
                "    q, k, v = y.permute([2, 0, 3, 1, 4]).unbind(0)\n",
                "columns 6 x8 operand; rows 4 exact", fused()),
      attention("fused_heads_three_width",
                "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 4, 3, 6])\n"
                "    q, k, v = y.permute([3, 0, 2, 1, 4]).unbind(0)\n",
                "columns 6 x8 operand; rows 4 exact", fused()),
      attention("fused_three_then_heads",
                "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 3, 24])\n"
                "    q = y.select(2, 0).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = y.select(2, 1).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    v = y.select(2, 2).view([b, n, 4, 6]).transpose(1, 2)\n",
                "columns 6 x8 operand; rows 4 exact", fused()),
      attention("heads_innermost",
                "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 6, 3, 4])\n"
                "    q, k, v = y.permute([3, 0, 4, 1, 2]).unbind(0)\n",
                "plain 4 exact; rows 6 operand", fused()),
      attention("relative_positions", kThreeLinears, kFree,
                with(three_linears(),
                     {{"table", {9, 4}}, indices("index", {4, 3, 2, 1, 0, 5, 4, 3, 2, 1, 6, 5, 4,
                                                           3, 2, 7, 6, 5, 4, 3, 8, 7, 6, 5, 4})}),
                "",
                "    r = self.table[self.index].view([5, 5, 4]).permute([2, 0, 1])\n"
                "    w = w + r.unsqueeze(0)\n"),
      attention("talking_heads", kThreeLinears,
                "columns 6 x4 exact; columns 6 x4 operand; rows 4 exact; rows 4 exact",
                with(three_linears(), {{"mix", {4, 4}}}), "",
                "    w = torch.einsum(\"bhqk,gh->bgqk\", [w, self.mix])\n"),
      attention("rotary_pairs", kThreeLinears, "columns 6 x4 exact; rows 3 operand; rows 4 exact",
                with(three_linears(), {buffer("cos", {5, 3, 1}), buffer("sin", {5, 3, 1})}),
                "    p = q.reshape([b, 4, n, 3, 2])\n"
                "    e, o = p.unbind(-1)\n"
                "    q = (p * self.cos + torch.stack([-o, e], -1) * self.sin).flatten(3)\n"
                "    p = k.reshape([b, 4, n, 3, 2])\n"
                "    e, o = p.unbind(-1)\n"
                "    k = (p * self.cos + torch.stack([-o, e], -1) * self.sin).flatten(3)\n"),
      attention(
          "rotary_on_a_part", kThreeLinears,
          "columns 4 x4 operand; columns 6 x4 exact; rows 4 exact",
          with(three_linears(), {buffer("cos", {5, 2}), buffer("sin", {5, 2})}),
          "    r = q[:, :, :, :2]\n"
          "    r = r * self.cos + torch.cat([-r[:, :, :, 1:], r[:, :, :, :1]], -1) * self.sin\n"
          "    q = torch.cat([r, q[:, :, :, 2:]], -1)\n"
          "    r = k[:, :, :, :2]\n"
          "    r = r * self.cos + torch.cat([-r[:, :, :, 1:], r[:, :, :, :1]], -1) * self.sin\n"
          "    k = torch.cat([r, k[:, :, :, 2:]], -1)\n"),
      attention(
          "fused_rotary",
          "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 3, 4, 6])\n"
          "    q, k, v = y.permute([2, 0, 3, 1, 4]).unbind(0)\n",
          "columns 3 x5 operand; rows 4 exact",
          with(fused(), {buffer("cos", {5, 6}), buffer("sin", {5, 6})}),
          "    q = q * self.cos + torch.cat([-q[:, :, :, 3:], q[:, :, :, :3]], -1) * self.sin\n"
          "    k = k * self.cos + torch.cat([-k[:, :, :, 3:], k[:, :, :, :3]], -1) * self.sin\n"),
      attention("norm_of_the_whole_width",
                "    q = torch.layer_norm(torch.linear(x, self.wq), [24], self.qn, self.qb)\n"
                "    q = q.view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = torch.layer_norm(torch.linear(x, self.wk), [24], self.kn, self.kb)\n"
                "    k = k.view([b, n, 4, 6]).transpose(1, 2)\n"
                "    v = torch.linear(x, self.wv, self.bv).view([b, n, 4, 6]).transpose(1, 2)\n",
                "columns 6 x4 exact; columns 6 x4 statistics; rows 4 statistics",
                with(three_linears(), {{"qn", {24}}, {"qb", {24}}, {"kn", {24}}, {"kb", {24}}})),
      attention("temperature", kThreeLinears, kFree,
                with(three_linears(), {{"temperature", {4, 1, 1}}}),
                "    q = q * self.temperature\n"),
      attention("norm_of_heads", kThreeLinears,
                "columns 6 x4 exact; plain 6 statistics; rows 4 exact",
                with(three_linears(), {{"qn", {6}}, {"qb", {6}}, {"kn", {6}}, {"kb", {6}}}),
                "    q = torch.layer_norm(q, [6], self.qn, self.qb)\n"
                "    k = torch.layer_norm(k, [6], self.kn, self.kb)\n"),
      attention(
          "rotary_halves", kThreeLinears, "columns 6 x4 exact; plain 3 operand; rows 4 exact",
          with(three_linears(), {buffer("cos", {5, 6}), buffer("sin", {5, 6})}),
          "    q = q * self.cos + torch.cat([-q[:, :, :, 3:], q[:, :, :, :3]], -1) * self.sin\n"
          "    k = k * self.cos + torch.cat([-k[:, :, :, 3:], k[:, :, :, :3]], -1) * self.sin\n"),
      attention("batch_and_heads_merged",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2).reshape([b * "
                "4, n, 6])\n"
                "    k = torch.linear(x, self.wk).view([b, n, 4, 6]).transpose(1, 2).reshape([b * "
                "4, n, 6])\n"
                "    v = torch.linear(x, self.wv, self.bv).view([b, n, 4, 6]).transpose(1, "
                "2).reshape([b * 4, n, 6])\n"
                "    q = q.view([b, 4, n, 6])\n"
                "    k = k.view([b, 4, n, 6])\n"
                "    v = v.view([b, 4, n, 6])\n",
                kFree, three_linears()),
      attention("multi_query",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = torch.linear(x, self.wk).unsqueeze(1)\n"
                "    v = torch.linear(x, self.wv).unsqueeze(1)\n",
                "plain 6 exact; plain 6 operand; rows 4 exact",
                {{"wq", {24, 10}}, {"wk", {6, 10}}, {"wv", {6, 10}}}),
      attention("grouped_query_by_expand",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = torch.linear(x, self.wk).view([b, n, 2, 6]).transpose(1, 2)\n"
                "    v = torch.linear(x, self.wv).view([b, n, 2, 6]).transpose(1, 2)\n"
                "    k = k.unsqueeze(2).expand([-1, -1, 2, -1, -1]).reshape([b, 4, n, 6])\n"
                "    v = v.unsqueeze(2).expand([-1, -1, 2, -1, -1]).reshape([b, 4, n, 6])\n",
                "columns 6 x2 exact; columns 6 x2 operand; rows 2 exact; rows 2 x2 exact",
                {{"wq", {24, 10}}, {"wk", {12, 10}}, {"wv", {12, 10}}}),
      attention("grouped_query_by_interleaving",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = torch.linear(x, self.wk).view([b, n, 2, 6]).transpose(1, 2)\n"
                "    v = torch.linear(x, self.wv).view([b, n, 2, 6]).transpose(1, 2)\n"
                "    k = torch.repeat_interleave(k, 2, 1)\n"
                "    v = torch.repeat_interleave(v, 2, 1)\n",
                "columns 6 x2 exact; columns 6 x2 operand; rows 2 exact; rows 2 x2 exact",
                {{"wq", {24, 10}}, {"wk", {12, 10}}, {"wv", {12, 10}}}),
  };
}

const char* const kTwoKeyHeads =
    "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
    "    k = torch.linear(x, self.wk).view([b, n, 2, 6]).transpose(1, 2)\n"
    "    v = torch.linear(x, self.wv).view([b, n, 2, 6]).transpose(1, 2)\n";

std::vector<Network> one_op() {
  return {
      fused_attention("plain", kThreeLinears, "q, k, v", kFree, three_linears()),
      fused_attention("masked", kThreeLinears, "q, k, v, self.mask", kFree,
                      with(three_linears(), {{"mask", {4, 5, 5}}})),
      fused_attention("grouped_query", kTwoKeyHeads,
                      "q, k, v, None, 0.0, False, scale=None, enable_gqa=True",
                      "columns 6 x2 exact; columns 6 x2 operand; rows 2 exact; rows 2 x2 exact",
                      {{"wq", {24, 10}}, {"wk", {12, 10}}, {"wv", {12, 10}}}),
  };
}

std::vector<Network> transformers() {
  return {
      {"swiglu",
       {{"stem", {12, 10}},
        {"norm", {12}},
        {"gate", {16, 12}},
        {"up", {16, 12}},
        {"down", {12, 16}},
        {"head", {5, 12}}},
       R"(
def forward(self, x):
    y = torch.linear(x, self.stem)
    z = torch.rms_norm(y, [12], self.norm)
    z = torch.silu(torch.linear(z, self.gate)) * torch.linear(z, self.up)
    return torch.linear(y + torch.linear(z, self.down), self.head)
)",
       {{2, 5, 10}},
       "plain 12 statistics; plain 16 exact"},
      {"linear_attention",
       {{"wq", {24, 10}}, {"wk", {24, 10}}, {"wv", {24, 10}}, {"out", {7, 24}}},
       R"(
def forward(self, x):
    b, n, c = x.shape
    q = torch.elu(torch.linear(x, self.wq).view([b, n, 4, 6])) + 1.0
    k = torch.elu(torch.linear(x, self.wk).view([b, n, 4, 6])) + 1.0
    v = torch.linear(x, self.wv).view([b, n, 4, 6])
    kv = torch.einsum("bnhd,bnhe->bhde", [k, v])
    y = torch.einsum("bnhd,bhde->bnhe", [q, kv])
    return torch.linear(y.reshape([b, n, 24]), self.out)
)",
       {{2, 5, 10}},
       kFree},
      {"channel_attention",
       {{"wq", {24, 10}}, {"wk", {24, 10}}, {"wv", {24, 10}}, {"out", {7, 24}}},
       R"(
def forward(self, x):
    b, n, c = x.shape
    q = torch.linear(x, self.wq).view([b, n, 4, 6]).permute([0, 2, 3, 1])
    k = torch.linear(x, self.wk).view([b, n, 4, 6]).permute([0, 2, 3, 1])
    v = torch.linear(x, self.wv).view([b, n, 4, 6]).permute([0, 2, 3, 1])
    w = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1)
    y = torch.matmul(w, v).permute([0, 3, 1, 2]).reshape([b, n, 24])
    return torch.linear(y, self.out)
)",
       {{2, 5, 10}},
       "columns 6 x4 exact; rows 4 exact"},
      {"two_views_that_nest",
       {{"stem", {24, 10}}, {"fine", {24}}, {"coarse", {24}}, {"head", {5, 24}}},
       R"(
def forward(self, x):
    b, n, c = x.shape
    y = torch.linear(x, self.stem)
    z = y.view([b, n, 4, 6]).softmax(1).reshape([b, n, 24]) + y.view([b, n, 8, 3]).softmax(1).reshape([b, n, 24])
    return torch.linear(z, self.head)
)",
       {{2, 5, 10}},
       "columns 3 x8 exact; rows 2 x4 exact; rows 4 exact"},
      {"two_views_that_do_not_nest",
       {{"stem", {24, 10}}, {"head", {5, 24}}},
       R"(
def forward(self, x):
    b, n, c = x.shape
    y = torch.linear(x, self.stem)
    z = y.view([b, n, 4, 6]).softmax(1).reshape([b, n, 24]) + y.view([b, n, 3, 8]).softmax(1).reshape([b, n, 24])
    return torch.linear(z, self.head)
)",
       {{2, 5, 10}},
       "columns 2 x12 exact"},
      {"grouped_query_in_five_dimensions",
       {{"wq", {24, 10}}, {"wk", {12, 10}}, {"wv", {12, 10}}, {"out", {7, 24}}},
       R"(
def forward(self, x):
    b, n, c = x.shape
    q = torch.linear(x, self.wq).view([b, n, 2, 2, 6]).permute([0, 2, 3, 1, 4])
    k = torch.linear(x, self.wk).view([b, n, 2, 1, 6]).permute([0, 2, 3, 1, 4])
    v = torch.linear(x, self.wv).view([b, n, 2, 1, 6]).permute([0, 2, 3, 1, 4])
    w = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1)
    y = torch.matmul(w, v).permute([0, 3, 1, 2, 4]).reshape([b, n, 24])
    return torch.linear(y, self.out)
)",
       {{2, 5, 10}},
       "columns 6 x2 exact; columns 6 x2 operand; rows 2 exact; rows 2 x2 exact"},
      {"tied_embedding",
       {{"table", {11, 12}},
        {"norm", {12}},
        {"gate", {16, 12}},
        {"up", {16, 12}},
        {"down", {12, 16}}},
       R"(
def forward(self, x):
    i = torch.remainder(torch.floor(torch.abs(x[:, :, 0]) * 9), 11).to(4)
    y = torch.embedding(self.table, i)
    z = torch.rms_norm(y, [12], self.norm)
    z = torch.silu(torch.linear(z, self.gate)) * torch.linear(z, self.up)
    return torch.linear(y + torch.linear(z, self.down), self.table)
)",
       {{2, 5, 10}},
       "plain 12 statistics; plain 16 exact"},
      {"packed_projection",
       {{"weight", {72, 24}},
        {"bias", {72}},
        {"stem", {24, 10}},
        {"out", {24, 24}},
        {"head", {5, 24}}},
       R"(
def forward(self, x):
    b, n, c = x.shape
    y = torch.linear(x, self.stem)
    p = torch.linear(y, self.weight, self.bias).unflatten(-1, [3, 24])
    p = p.unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()
    q = p[0].view([b, n, 4, 6]).transpose(1, 2)
    k = p[1].view([b, n, 4, 6]).transpose(1, 2)
    v = p[2].view([b, n, 4, 6]).transpose(1, 2)
    z = torch.scaled_dot_product_attention(q, k, v)
    z = torch.linear(z.permute([0, 2, 1, 3]).contiguous().view([b, n, 24]), self.out)
    return torch.linear(y + z, self.head)
)",
       {{2, 5, 10}},
       "columns 6 x8 operand; plain 24 exact; rows 4 exact"},
      {"positions_and_token",
       {{"stem", {12, 10}},
        {"token", {1, 1, 12}},
        {"positions", {1, 6, 12}},
        {"norm", {12}},
        {"shift", {12}},
        {"head", {5, 12}}},
       R"(
def forward(self, x):
    b, n, c = x.shape
    y = torch.cat([self.token.expand([b, -1, -1]), torch.linear(x, self.stem)], 1) + self.positions
    y = torch.layer_norm(y, [12], self.norm, self.shift)
    return torch.linear(y[:, 0], self.head)
)",
       {{2, 5, 10}},
       "plain 12 statistics"},
  };
}

std::vector<Network> recurrent() {
  return {
      {"lstm",
       {{"wi", {24, 10}}, {"wh", {24, 6}}, {"bi", {24}}, {"bh", {24}}, {"head", {5, 6}}},
       R"(
def forward(self, x):
    h = torch.zeros([1, x.size(0), 6], dtype=7)
    y, a, e = torch.lstm(x, [h, h], [self.wi, self.wh, self.bi, self.bh], True, 1, 0.0, False, False, True)
    return torch.linear(y, self.head)
)",
       {{2, 5, 10}},
       "plain 6 exact"},
      {"gru_in_two_directions",
       {{"wi", {18, 10}},
        {"wh", {18, 6}},
        {"bi", {18}},
        {"bh", {18}},
        {"ri", {18, 10}},
        {"rh", {18, 6}},
        {"rbi", {18}},
        {"rbh", {18}},
        {"head", {5, 12}}},
       R"(
def forward(self, x):
    h = torch.zeros([2, x.size(0), 6], dtype=7)
    w = [self.wi, self.wh, self.bi, self.bh, self.ri, self.rh, self.rbi, self.rbh]
    y, a = torch.gru(x, h, w, True, 1, 0.0, False, True, True)
    return torch.linear(y, self.head)
)",
       {{2, 5, 10}},
       "plain 6 exact"},
      {"two_layers_of_lstm",
       {{"stem", {8, 10}},
        {"wi", {24, 8}},
        {"wh", {24, 6}},
        {"bi", {24}},
        {"bh", {24}},
        {"vi", {24, 6}},
        {"vh", {24, 6}},
        {"ci", {24}},
        {"ch", {24}},
        {"head", {5, 6}}},
       R"(
def forward(self, x):
    h = torch.zeros([2, x.size(0), 6], dtype=7)
    w = [self.wi, self.wh, self.bi, self.bh, self.vi, self.vh, self.ci, self.ch]
    y, a, e = torch.lstm(torch.linear(x, self.stem), [h, h], w, True, 2, 0.0, False, False, True)
    return torch.linear(y[:, -1], self.head)
)",
       {{2, 5, 10}},
       "plain 6 exact; plain 8 exact"},
  };
}

TEST_P(AttentionPattern, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Projections, AttentionPattern, ::testing::ValuesIn(projections()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(OneOp, AttentionPattern, ::testing::ValuesIn(one_op()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Transformers, AttentionPattern, ::testing::ValuesIn(transformers()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Recurrent, AttentionPattern, ::testing::ValuesIn(recurrent()),
                         name_of_pattern);

}  // namespace
}  // namespace cpd::testing
