#include "attention.h"

namespace cpd::testing {
namespace {

/// Attention in the spellings that networks have for it, each with what can go.
class AttentionSpelling : public Pattern {};

const char* const kPacked = "columns 6 x8 operand; rows 4 exact";

/// A network over tokens with a source of its own.
Network over_tokens(const std::string& name, std::vector<Weight> weights, const std::string& body,
                    const std::string& units) {
  return {name,
          std::move(weights),
          "def forward(self, x):\n    b, n, c = x.shape\n" + body,
          {{2, 5, 10}},
          units};
}

std::vector<Network> projections() {
  return {
      attention("unbound",
                "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 3, 4, 6])\n"
                "    q, k, v = y.transpose(1, 3).unbind(2)\n",
                kPacked, fused()),
      attention("split_by_size",
                "    q, k, v = torch.split(torch.linear(x, self.qkv, self.bias), 24, -1)\n"
                "    q = q.view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = k.view([b, n, 4, 6]).transpose(1, 2)\n"
                "    v = v.view([b, n, 4, 6]).transpose(1, 2)\n",
                kFree, fused()),
      attention("sliced",
                "    y = torch.linear(x, self.qkv, self.bias)\n"
                "    q = y[:, :, :24].view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = y[:, :, 24:48].view([b, n, 4, 6]).transpose(1, 2)\n"
                "    v = y[:, :, -24:].view([b, n, 4, 6]).transpose(1, 2)\n",
                kFree, fused()),
      attention("query_and_packed_rest",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    y = torch.linear(x, self.kv).view([b, n, 2, 4, 6]).permute([2, 0, 3, 1, 4])\n"
                "    k, v = y[0], y[1]\n",
                kPacked, {{"wq", {24, 10}}, {"kv", {48, 10}}}),
      attention("a_weight_for_each_head",
                "    q = torch.einsum(\"bnc,hdc->bhnd\", [x, self.wq])\n"
                "    k = torch.einsum(\"bnc,hdc->bhnd\", [x, self.wk])\n"
                "    v = torch.einsum(\"bnc,hdc->bhnd\", [x, self.wv])\n",
                "plain 4 exact; plain 6 exact; plain 6 operand",
                {{"wq", {4, 6, 10}}, {"wk", {4, 6, 10}}, {"wv", {4, 6, 10}}}),
      attention("values_of_another_width",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 3]).transpose(1, 2)\n"
                "    k = torch.linear(x, self.wk).view([b, n, 4, 3]).transpose(1, 2)\n"
                "    v = torch.linear(x, self.wv).view([b, n, 4, 6]).transpose(1, 2)\n",
                "columns 3 x4 operand; columns 6 x4 exact; rows 4 exact",
                {{"wq", {12, 10}}, {"wk", {12, 10}}, {"wv", {24, 10}}}),
      attention("by_convolutions",
                "    t = x.transpose(1, 2)\n"
                "    q = torch.conv1d(t, self.wq).view([b, 4, 6, n]).transpose(2, 3)\n"
                "    k = torch.conv1d(t, self.wk).view([b, 4, 6, n]).transpose(2, 3)\n"
                "    v = torch.conv1d(t, self.wv).view([b, 4, 6, n]).transpose(2, 3)\n",
                kFree, {{"wq", {24, 10, 1}}, {"wk", {24, 10, 1}}, {"wv", {24, 10, 1}}}),
      attention("multi_query_by_expand",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = torch.linear(x, self.wk).unsqueeze(1).expand([-1, 4, -1, -1])\n"
                "    v = torch.linear(x, self.wv).unsqueeze(1).expand([-1, 4, -1, -1])\n",
                "plain 6 exact; plain 6 operand; rows 4 exact",
                {{"wq", {24, 10}}, {"wk", {6, 10}}, {"wv", {6, 10}}}),
      attention("grouped_query_by_repeat",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = torch.linear(x, self.wk).view([b, n, 2, 1, 6]).repeat([1, 1, 1, 2, 1])\n"
                "    v = torch.linear(x, self.wv).view([b, n, 2, 1, 6]).repeat([1, 1, 1, 2, 1])\n"
                "    k = k.flatten(2, 3).transpose(1, 2)\n"
                "    v = v.flatten(2, 3).transpose(1, 2)\n",
                "columns 6 x2 exact; columns 6 x2 operand; rows 2 exact; rows 2 x2 exact",
                {{"wq", {24, 10}}, {"wk", {12, 10}}, {"wv", {12, 10}}}),
      attention("latent_keys_and_values",
                "    l = torch.linear(x, self.down)\n"
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    k = torch.linear(l, self.wk).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    v = torch.linear(l, self.wv).view([b, n, 4, 6]).transpose(1, 2)\n",
                "columns 6 x4 exact; columns 6 x4 operand; plain 8 exact; rows 4 exact",
                {{"down", {8, 10}}, {"wq", {24, 10}}, {"wk", {24, 8}}, {"wv", {24, 8}}}),
      attention("a_part_of_the_key_shared",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    s = torch.linear(x, self.shared).view([b, n, 1, 2]).expand([-1, -1, 4, -1])\n"
                "    k = torch.cat([torch.linear(x, self.wk).view([b, n, 4, 4]), s], -1)\n"
                "    k = k.transpose(1, 2)\n"
                "    v = torch.linear(x, self.wv).view([b, n, 4, 6]).transpose(1, 2)\n",
                "columns 4 x4 operand; columns 6 x4 exact; plain 2 operand; rows 4 exact",
                {{"wq", {24, 10}}, {"shared", {2, 10}}, {"wk", {16, 10}}, {"wv", {24, 10}}}),
      attention("memory_tokens",
                std::string(kThreeLinears) +
                    "    k = torch.cat([k, self.mk.expand([b, -1, -1, -1])], 2)\n"
                    "    v = torch.cat([v, self.mv.expand([b, -1, -1, -1])], 2)\n",
                "plain 6 exact; plain 6 operand; rows 4 exact",
                with(three_linears(), {{"mk", {1, 4, 2, 6}}, {"mv", {1, 4, 2, 6}}})),
  };
}

/// Logits that something is added to, multiplied with or cut from.
std::vector<Network> logits() {
  return {
      attention("causal_by_triangle", kThreeLinears, kFree, three_linears(), "",
                "    w = w + torch.triu(torch.full([n, n], -1e9, dtype=7), 1)\n"),
      attention("causal_by_buffer", kThreeLinears, kFree,
                with(three_linears(), {buffer("mask", {1, 1, 8, 8})}), "",
                "    w = w.masked_fill(self.mask[:, :, :n, :n] > 0.5, -1e9)\n"),
      attention("padding_by_data", kThreeLinears, kFree, three_linears(), "",
                "    pad = (x[:, :, 0] > 0.8).view([b, 1, 1, n])\n"
                "    w = w.masked_fill(pad, -1e9)\n"),
      attention("slopes_by_distance", kThreeLinears, kFree,
                with(three_linears(), {buffer("slopes", {4, 1, 1}), buffer("distance", {5, 5})}),
                "", "    w = w + self.slopes * self.distance\n"),
      attention("a_bias_for_each_head", kThreeLinears, kFree,
                with(three_linears(), {{"table", {4, 5, 5}}}), "", "    w = w + self.table\n"),
      attention("bias_by_embedding", kThreeLinears, kFree,
                with(three_linears(),
                     {{"table", {3, 4}}, indices("buckets", {0, 1, 2, 2, 2, 1, 0, 1, 2, 2, 2, 1, 0,
                                                             1, 2, 2, 2, 1, 0, 1, 2, 2, 2, 1, 0})}),
                "",
                "    r = torch.embedding(self.table, self.buckets.view([5, 5]))\n"
                "    w = w + r.permute([2, 0, 1]).unsqueeze(0)\n"),
      attention("bias_by_network", kThreeLinears, std::string(kFree) + "; plain 16 exact",
                with(three_linears(), {buffer("places", {9, 2}),
                                       {"first", {16, 2}},
                                       {"bias", {16}},
                                       {"second", {4, 16}},
                                       indices("index", {4, 3, 2, 1, 0, 5, 4, 3, 2, 1, 6, 5, 4,
                                                         3, 2, 7, 6, 5, 4, 3, 8, 7, 6, 5, 4})}),
                "",
                "    r = torch.relu(torch.linear(self.places, self.first, self.bias))\n"
                "    r = torch.linear(r, self.second)[self.index].view([5, 5, 4])\n"
                "    w = w + torch.sigmoid(r.permute([2, 0, 1])).unsqueeze(0)\n"),
      attention("talking_before_and_after", kThreeLinears,
                std::string(kFree) + "; rows 4 exact; plain 4 exact",
                with(three_linears(), {{"before", {4, 4}}, {"after", {4, 4}}, {"shift", {4}}}), "",
                "    w = torch.linear(w.permute([0, 2, 3, 1]), self.before, self.shift)\n"
                "    w = torch.linear(torch.softmax(w, 2), self.after).permute([0, 3, 1, 2])\n"),
      attention("a_sink_for_each_head", kThreeLinears, kFree,
                with(three_linears(), {{"sink", {4}}}), "",
                "    s = self.sink.view([1, 4, 1, 1]).expand([b, -1, n, -1])\n"
                "    w = torch.softmax(torch.cat([w, s], -1), -1)[:, :, :, :-1]\n"),
      attention("position_to_content", kThreeLinears,
                "columns 6 x4 exact; columns 6 x4 operand; rows 4 exact",
                with(three_linears(), {{"wr", {24, 8}}, buffer("relative", {5, 8})}), "",
                "    r = torch.linear(self.relative, self.wr).view([5, 4, 6]).transpose(0, 1)\n"
                "    w = w + torch.matmul(q, r.transpose(-2, -1))\n"),
      attention("difference_of_two_maps",
                "    q = torch.linear(x, self.wq).view([b, n, 4, 2, 3]).permute([0, 2, 3, 1, 4])\n"
                "    k = torch.linear(x, self.wk).view([b, n, 4, 2, 3]).permute([0, 2, 3, 1, 4])\n"
                "    v = torch.linear(x, self.wv).view([b, n, 4, 6]).transpose(1, 2)\n"
                "    m = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), -1)\n"
                "    v = torch.matmul(m[:, :, 0] - m[:, :, 1] * self.share, v)\n"
                "    q, k = q[:, :, 0], k[:, :, 0]\n",
                "columns 3 x8 operand; columns 6 x4 exact; rows 4 exact",
                {{"wq", {24, 10}}, {"wk", {24, 10}}, {"wv", {24, 10}}, {"share", {1}}}),
      attention("retention", kThreeLinears, kFree,
                with(three_linears(), {buffer("decay", {4, 5, 5})}), "",
                "    w = torch.log(torch.abs(w * self.decay) + 1.0)\n"),
  };
}

/// Queries and keys that meet something before they meet each other.
std::vector<Network> positions() {
  const std::string turned =
      "    q = q * cos + torch.cat([-q[:, :, :, 3:], q[:, :, :, :3]], -1) * sin\n"
      "    k = k * cos + torch.cat([-k[:, :, :, 3:], k[:, :, :, :3]], -1) * sin\n";
  return {
      attention("rotary_from_frequencies", kThreeLinears,
                "columns 6 x4 exact; plain 3 operand; rows 4 exact",
                with(three_linears(), {buffer("frequencies", {3})}),
                "    t = torch.outer(torch.arange(n, dtype=7), self.frequencies)\n"
                "    t = torch.cat([t, t], -1)\n"
                "    cos, sin = t.cos(), t.sin()\n" +
                    turned),
      attention("rotary_cut_to_length", kThreeLinears,
                "columns 6 x4 exact; plain 3 operand; rows 4 exact",
                with(three_linears(), {buffer("c", {1, 1, 8, 6}), buffer("s", {1, 1, 8, 6})}),
                "    cos, sin = self.c[:, :, :n].to(x), self.s[:, :, :n].to(x)\n" + turned),
      attention("rotary_by_complex_numbers", kThreeLinears,
                "columns 6 x4 exact; rows 3 operand; rows 4 exact",
                with(three_linears(), {buffer("turn", {5, 3, 2})}),
                "    t = torch.view_as_complex(self.turn)\n"
                "    q = torch.view_as_complex(q.reshape([b, 4, n, 3, 2]))\n"
                "    k = torch.view_as_complex(k.reshape([b, 4, n, 3, 2]))\n"
                "    q = torch.view_as_real(q * t).flatten(3)\n"
                "    k = torch.view_as_real(k * t).flatten(3)\n"),
      attention(
          "rotary_by_strides", kThreeLinears, "columns 6 x4 exact; plain 3 operand; rows 4 exact",
          with(three_linears(), {buffer("angle", {5, 3})}),
          "    c = torch.repeat_interleave(self.angle.cos(), 2, -1)\n"
          "    s = torch.repeat_interleave(self.angle.sin(), 2, -1)\n"
          "    q = q * c + torch.stack([-q[:, :, :, 1::2], q[:, :, :, ::2]], -1).flatten(3) * s\n"
          "    k = k * c + torch.stack([-k[:, :, :, 1::2], k[:, :, :, ::2]], -1).flatten(3) * s\n"),
      attention("length_of_queries", kThreeLinears, kFree,
                with(three_linears(), {{"scale", {4, 1, 1}}}),
                "    q = q / torch.clamp_min(torch.linalg_vector_norm(q, 2, [-1], True), 1e-12)\n"
                "    k = k / torch.clamp_min(torch.linalg_vector_norm(k, 2, [-1], True), 1e-12)\n"
                "    q = q * torch.exp(torch.clamp(self.scale, max=2.0))\n"),
      attention("rms_of_queries", kThreeLinears,
                "columns 6 x4 exact; plain 6 statistics; rows 4 exact",
                with(three_linears(), {{"qn", {6}}, {"kn", {6}}}),
                "    q = torch.rms_norm(q, [6], self.qn, 1e-6)\n"
                "    k = k * torch.rsqrt(k.square().mean([-1], True) + 1e-6) * self.kn\n"),
      attention("norm_without_weights", kThreeLinears,
                "columns 6 x4 exact; columns 6 x4 statistics; rows 4 exact", three_linears(),
                "    q = torch.layer_norm(q, [6])\n    k = torch.layer_norm(k, [6])\n"),
  };
}

/// What is around the heads: windows, pooled keys, learned queries, further inputs.
std::vector<Network> surroundings() {
  Network cross = over_tokens(
      "cross_attention", {{"wq", {24, 10}}, {"wk", {24, 8}}, {"wv", {24, 8}}, {"out", {7, 24}}},
      "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
      "    k = torch.linear(z, self.wk).view([b, -1, 4, 6]).transpose(1, 2)\n"
      "    v = torch.linear(z, self.wv).view([b, -1, 4, 6]).transpose(1, 2)\n"
      "    y = torch.scaled_dot_product_attention(q, k, v, m.unsqueeze(1))\n"
      "    y = y.transpose(1, 2).flatten(2)\n"
      "    return torch.linear(y, self.out)\n",
      kFree);
  cross.source.replace(0, cross.source.find('\n'), "def forward(self, x, z, m):");
  cross.inputs = {{2, 5, 10}, {2, 3, 8}, {2, 5, 3}};
  return {
      cross,
      over_tokens("learned_queries",
                  {{"queries", {3, 12}},
                   {"wq", {24, 12}},
                   {"wk", {24, 10}},
                   {"wv", {24, 10}},
                   {"out", {7, 24}}},
                  "    q = torch.linear(self.queries.unsqueeze(0).expand([b, -1, -1]), self.wq)\n"
                  "    q = q.view([b, 3, 4, 6]).transpose(1, 2)\n"
                  "    k = torch.linear(x, self.wk).view([b, n, 4, 6]).transpose(1, 2)\n"
                  "    v = torch.linear(x, self.wv).view([b, n, 4, 6]).transpose(1, 2)\n"
                  "    y = torch.scaled_dot_product_attention(q, k, v)\n"
                  "    return torch.linear(y.transpose(1, 2).flatten(2), self.out)\n",
                  kFree),
      over_tokens("one_query_for_each_head",
                  {{"query", {4, 6}}, {"wk", {24, 10}}, {"wv", {24, 10}}, {"out", {7, 24}}},
                  "    k = torch.linear(x, self.wk).view([b, n, 4, 6])\n"
                  "    v = torch.linear(x, self.wv).view([b, n, 4, 6])\n"
                  "    w = torch.softmax((k * self.query).sum(-1), 1)\n"
                  "    y = torch.einsum(\"bnh,bnhd->bhd\", [w, v]).flatten(1)\n"
                  "    return torch.linear(y, self.out)\n",
                  "columns 6 x4 exact; plain 6 operand; rows 4 exact"),
      over_tokens("class_attention",
                  {{"stem", {12, 10}},
                   {"token", {1, 1, 12}},
                   {"norm", {12}},
                   {"wq", {24, 12}},
                   {"wk", {24, 12}},
                   {"wv", {24, 12}},
                   {"proj", {12, 24}},
                   {"scale", {12}},
                   {"out", {7, 12}}},
                  "    y = torch.linear(x, self.stem)\n"
                  "    t = self.token.expand([b, -1, -1])\n"
                  "    u = torch.layer_norm(torch.cat([t, y], 1), [12], self.norm)\n"
                  "    q = torch.linear(u[:, 0], self.wq).unsqueeze(1).view([b, 1, 4, 6])\n"
                  "    k = torch.linear(u, self.wk).view([b, n + 1, 4, 6]).permute([0, 2, 1, 3])\n"
                  "    v = torch.linear(u, self.wv).view([b, n + 1, 4, 6]).permute([0, 2, 1, 3])\n"
                  "    y = torch.scaled_dot_product_attention(q.permute([0, 2, 1, 3]), k, v)\n"
                  "    y = torch.linear(y.transpose(1, 2).reshape([b, 1, 24]), self.proj)\n"
                  "    return torch.linear((t + self.scale * y)[:, 0], self.out)\n",
                  std::string(kFree) + "; plain 12 statistics"),
      over_tokens(
          "batch_and_heads_in_one", with(three_linears(), {{"out", {7, 24}}}),
          "    t = x.transpose(0, 1)\n"
          "    q = torch.linear(t, self.wq).contiguous().view([n, b * 4, 6]).transpose(0, 1)\n"
          "    k = torch.linear(t, self.wk).contiguous().view([n, b * 4, 6]).transpose(0, 1)\n"
          "    v = torch.linear(t, self.wv, self.bv).contiguous().view([n, b * 4, 6])\n"
          "    w = torch.softmax(torch.bmm(q * 0.4, k.transpose(1, 2)), -1)\n"
          "    y = torch.bmm(w, v.transpose(0, 1)).transpose(0, 1).contiguous()\n"
          "    return torch.linear(y.view([n, b, 24]).transpose(0, 1), self.out)\n",
          kFree),
      over_tokens("memory_units",
                  {{"stem", {12, 10}}, {"keys", {8, 12}}, {"values", {12, 8}}, {"out", {7, 12}}},
                  "    w = torch.linear(torch.linear(x, self.stem), self.keys)\n"
                  "    w = torch.softmax(w, 1)\n"
                  "    w = w / (1e-9 + w.sum(2, True))\n"
                  "    return torch.linear(torch.linear(w, self.values), self.out)\n",
                  "plain 12 exact; plain 12 exact; plain 8 operand"),
      over_tokens("tokens_projected", with(three_linears(), {{"tokens", {3, 5}}, {"out", {7, 24}}}),
                  std::string(kThreeLinears) +
                      "    k = torch.matmul(self.tokens, k)\n    v = torch.matmul(self.tokens, v)\n"
                      "    y = torch.scaled_dot_product_attention(q, k, v)\n"
                      "    return torch.linear(y.transpose(1, 2).flatten(2), self.out)\n",
                  kFree),
      over_tokens("random_features",
                  with(three_linears(), {buffer("features", {6, 8}), {"out", {7, 24}}}),
                  std::string(kThreeLinears) +
                      "    q = torch.exp(torch.matmul(q, self.features))\n"
                      "    k = torch.exp(torch.matmul(k, self.features))\n"
                      "    z = torch.einsum(\"bhnm,bhnd->bhmd\", [k, v])\n"
                      "    y = torch.matmul(q, z) / torch.matmul(q, k.sum(2).unsqueeze(-1))\n"
                      "    return torch.linear(y.transpose(1, 2).flatten(2), self.out)\n",
                  "columns 6 x4 exact; plain 6 exact; plain 8 operand; rows 4 exact"),
      over_tokens("fused_channel_attention",
                  with(fused(), {{"scale", {4, 1, 1}}, {"out", {7, 24}}}),
                  "    y = torch.linear(x, self.qkv, self.bias).view([b, n, 3, 4, 6])\n"
                  "    q, k, v = y.permute([2, 0, 3, 4, 1]).unbind(0)\n"
                  "    w = torch.softmax(torch.matmul(q, k.transpose(2, 3)) * self.scale, -1)\n"
                  "    y = torch.matmul(w, v).permute([0, 3, 1, 2]).reshape([b, n, 24])\n"
                  "    return torch.linear(y, self.out)\n",
                  "rows 4 exact"),
  };
}

/// Attention over images [batch, 10, 4, 4].
Network over_image(const std::string& name, std::vector<Weight> weights, const std::string& body,
                   const std::string& units) {
  return {name,
          std::move(weights),
          "def forward(self, x):\n    b, c, h, w = x.shape\n" + body,
          {{2, 10, 4, 4}},
          units};
}

std::vector<Network> images() {
  const std::string heads =
      "    q, k, v = torch.linear(t, self.qkv, self.bias).view([-1, 4, 3, 4, 6])"
      ".permute([2, 0, 3, 1, 4]).unbind(0)\n"
      "    a = torch.matmul(q * 0.4, k.transpose(-2, -1))\n";
  const std::string joined = "    t = torch.matmul(a, v).transpose(1, 2).reshape([-1, 4, 24])\n";
  const std::string back =
      "    t = t.view([b, 2, 2, 2, 2, 24]).permute([0, 1, 3, 2, 4, 5]).reshape([b, 4, 4, 24])\n";
  const std::string windows =
      "    t = t.view([b, 2, 2, 2, 2, 10]).permute([0, 1, 3, 2, 4, 5]).reshape([-1, 4, 10])\n";
  return {
      over_image("windows", with(fused(), {{"out", {7, 24}}}),
                 "    t = x.permute([0, 2, 3, 1])\n" + windows + heads +
                     "    a = torch.softmax(a, -1)\n" + joined + back +
                     "    return torch.linear(t, self.out)\n",
                 kPacked),
      over_image(
          "shifted_windows",
          with(fused(), {{"table", {9, 4}},
                         indices("index", {4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4}),
                         buffer("mask", {4, 4, 4}),
                         {"out", {7, 24}}}),
          "    t = torch.roll(x.permute([0, 2, 3, 1]), [-1, -1], [1, 2])\n" + windows + heads +
              "    r = self.table[self.index].view([4, 4, 4]).permute([2, 0, 1]).contiguous()\n"
              "    a = a + r.unsqueeze(0)\n"
              "    a = a.view([b, 4, 4, 4, 4]) + self.mask.unsqueeze(1).unsqueeze(0)\n"
              "    a = torch.softmax(a.view([-1, 4, 4, 4]), -1)\n" +
              joined + back +
              "    t = torch.roll(t, [1, 1], [1, 2])\n"
              "    return torch.linear(t, self.out)\n",
          kPacked),
      over_image("grid", with(fused(), {{"out", {7, 24}}}),
                 "    t = x.view([b, 10, 2, 2, 2, 2]).permute([0, 3, 5, 2, 4, 1])\n"
                 "    t = t.reshape([-1, 4, 10])\n" +
                     heads + "    a = torch.softmax(a, -1)\n" + joined +
                     "    t = t.view([b, 2, 2, 2, 2, 24]).permute([0, 3, 1, 4, 2, 5])\n"
                     "    return torch.linear(t.reshape([b, 4, 4, 24]), self.out)\n",
                 kPacked),
      over_image("along_rows_then_columns",
                 {{"first", {72, 10}}, {"second", {36, 24}}, {"out", {7, 12}}},
                 "    t = x.permute([0, 2, 3, 1]).reshape([-1, 4, 10])\n"
                 "    q, k, v = torch.linear(t, self.first).view([-1, 4, 3, 4, 6])"
                 ".permute([2, 0, 3, 1, 4]).unbind(0)\n"
                 "    t = torch.scaled_dot_product_attention(q, k, v).transpose(1, 2)\n"
                 "    t = t.reshape([b, 4, 4, 24]).transpose(1, 2).reshape([-1, 4, 24])\n"
                 "    q, k, v = torch.linear(t, self.second).view([-1, 4, 3, 2, 6])"
                 ".permute([2, 0, 3, 1, 4]).unbind(0)\n"
                 "    t = torch.scaled_dot_product_attention(q, k, v).transpose(1, 2)\n"
                 "    return torch.linear(t.reshape([b, 4, 4, 12]), self.out)\n",
                 "columns 6 x4 operand; columns 6 x8 operand; rows 2 exact; rows 4 exact"),
      over_image(
          "reduced_keys_and_values",
          {{"stem", {12, 10}},
           {"reduce", {12, 12, 2, 2}},
           {"rb", {12}},
           {"norm", {12}},
           {"wq", {24, 12}},
           {"wk", {24, 12}},
           {"wv", {24, 12}},
           {"out", {7, 24}}},
          "    t = torch.linear(x.flatten(2).transpose(1, 2), self.stem)\n"
          "    q = torch.linear(t, self.wq).view([b, 16, 4, 6]).transpose(1, 2)\n"
          "    s = t.transpose(1, 2).view([b, 12, h, w])\n"
          "    s = torch.conv2d(s, self.reduce, self.rb, [2, 2]).flatten(2).transpose(1, 2)\n"
          "    s = torch.layer_norm(s, [12], self.norm)\n"
          "    k = torch.linear(s, self.wk).view([b, -1, 4, 6]).transpose(1, 2)\n"
          "    v = torch.linear(s, self.wv).view([b, -1, 4, 6]).transpose(1, 2)\n"
          "    y = torch.scaled_dot_product_attention(q, k, v)\n"
          "    return torch.linear(y.transpose(1, 2).reshape([b, 16, 24]), self.out)\n",
          std::string(kFree) + "; plain 12 exact; plain 12 statistics"),
      over_image("depthwise_projections",
                 {{"dq", {10, 1, 3, 3}},
                  {"dk", {10, 1, 3, 3}},
                  {"stem", {10, 10, 1, 1}},
                  {"wq", {24, 10}},
                  {"wk", {24, 10}},
                  {"wv", {24, 10}},
                  {"out", {7, 24}}},
                 "    y = torch.conv2d(x, self.stem)\n"
                 "    q = torch.conv2d(y, self.dq, None, [1, 1], [1, 1], [1, 1], 10)\n"
                 "    k = torch.conv2d(y, self.dk, None, [2, 2], [1, 1], [1, 1], 10)\n"
                 "    q = torch.linear(q.flatten(2).transpose(1, 2), self.wq)\n"
                 "    v = torch.linear(k.flatten(2).transpose(1, 2), self.wv)\n"
                 "    k = torch.linear(k.flatten(2).transpose(1, 2), self.wk)\n"
                 "    q = q.view([b, -1, 4, 6]).transpose(1, 2)\n"
                 "    k = k.view([b, -1, 4, 6]).transpose(1, 2)\n"
                 "    v = v.view([b, -1, 4, 6]).transpose(1, 2)\n"
                 "    y = torch.scaled_dot_product_attention(q, k, v)\n"
                 "    return torch.linear(y.transpose(1, 2).flatten(2), self.out)\n",
                 std::string(kFree) + "; plain 10 exact"),
      over_image(
          "of_channels_by_length",
          {{"qkv", {72, 10, 1, 1}},
           {"depth", {72, 1, 3, 3}},
           {"scale", {4, 1, 1}},
           {"out", {7, 24, 1, 1}}},
          "    y = torch.conv2d(torch.conv2d(x, self.qkv), self.depth, None, [1, 1], [1, 1], "
          "[1, 1], 72)\n"
          "    q, k, v = torch.chunk(y, 3, 1)\n"
          "    q, k, v = q.view([b, 4, 6, -1]), k.view([b, 4, 6, -1]), v.view([b, 4, 6, -1])\n"
          "    q = q / torch.linalg_vector_norm(q, 2, [-1], True)\n"
          "    k = k / torch.linalg_vector_norm(k, 2, [-1], True)\n"
          "    a = torch.softmax(torch.matmul(q, k.transpose(2, 3)) * self.scale, -1)\n"
          "    return torch.conv2d(torch.matmul(a, v).view([b, 24, 4, 4]), self.out)\n",
          "columns 6 x4 exact; rows 4 exact"),
  };
}

/// The ops that evaluation replaces whole layers by.
std::vector<Network> native_layers() {
  const std::vector<Weight> packed = {
      {"stem", {24, 10}}, {"w", {72, 24}}, {"wb", {72}}, {"p", {24, 24}}, {"pb", {24}}};
  const std::vector<Weight> layer = with(packed, {{"n", {24}},
                                                  {"nb", {24}},
                                                  {"m", {24}},
                                                  {"mb", {24}},
                                                  {"f", {16, 24}},
                                                  {"fb", {16}},
                                                  {"g", {24, 16}},
                                                  {"gb", {24}},
                                                  {"out", {5, 24}}});
  const auto encoder = [&](const std::string& name, const std::string& flags,
                           const std::string& mask) {
    return over_tokens(
        name, layer,
        "    y = torch.linear(x, self.stem)\n"
        "    y = torch._transformer_encoder_layer_fwd(y, 24, 4, self.w, self.wb, self.p, "
        "self.pb, " +
            flags + ", 1e-5, self.n, self.nb, self.m, self.mb, self.f, self.fb, self.g, self.gb" +
            mask + ")\n    return torch.linear(y, self.out)\n",
        std::string(kFree) + "; plain 16 exact; plain 24 statistics");
  };
  const std::string tail = ", 24, 4, self.w, self.wb, self.p, self.pb";
  return {
      over_tokens("native_attention", with(packed, {{"out", {5, 24}}}),
                  "    y = torch.linear(x, self.stem)\n"
                  "    z, a = torch._native_multi_head_attention(y, y, y" +
                      tail +
                      ", None, False)\n"
                      "    return torch.linear(y + z, self.out)\n",
                  std::string(kFree) + "; plain 24 exact"),
      over_tokens("native_attention_with_padding", with(packed, {{"out", {5, 24}}}),
                  "    y = torch.linear(x, self.stem)\n"
                  "    z, a = torch._native_multi_head_attention(y, y, y" +
                      tail +
                      ", x[:, :, 0] > 1.0, True, True, 1)\n"
                      "    return torch.linear(y + z, self.out), a\n",
                  "columns 6 x4 exact; columns 6 x4 operand; plain 24 exact; rows 4 statistics"),
      over_tokens(
          "native_attention_across", with(packed, {{"other", {24, 10}}, {"out", {5, 24}}}),
          "    y = torch.linear(x, self.stem)\n"
          "    z = torch.linear(x, self.other)\n"
          "    z, a = torch._native_multi_head_attention(y, z, z" +
              tail +
              ", None, True, False)\n"
              "    return torch.linear(z, self.out) + a.sum([1, 3]).unsqueeze(-1)\n",
          "columns 6 x4 exact; columns 6 x4 operand; plain 24 exact; plain 24 exact; rows 4 "
          "operand"),
      encoder("encoder_layer", "False, False", ""),
      encoder("encoder_layer_norm_first", "True, True", ""),
      encoder("encoder_layer_with_padding", "True, False", ", x[:, :, 0] > 1.0, 1"),
      encoder("encoder_layer_with_mask", "True, False", ", torch.zeros([5, 5], dtype=11), 0"),
  };
}

TEST_P(AttentionSpelling, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Projection, AttentionSpelling, ::testing::ValuesIn(projections()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Logits, AttentionSpelling, ::testing::ValuesIn(logits()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Position, AttentionSpelling, ::testing::ValuesIn(positions()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Around, AttentionSpelling, ::testing::ValuesIn(surroundings()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Image, AttentionSpelling, ::testing::ValuesIn(images()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Native, AttentionSpelling, ::testing::ValuesIn(native_layers()),
                         name_of_pattern);

}  // namespace
}  // namespace cpd::testing
