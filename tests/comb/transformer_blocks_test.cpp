#include "attention.h"

namespace cpd::testing {
namespace {

/// Norms, gates, residual streams and token mixers of transformers.
class TransformerBlock : public Pattern {};

std::vector<Network> norms() {
  const std::string by_hand =
      "    u = y.mean(-1, True)\n"
      "    s = (y - u).pow(2).mean(-1, True)\n"
      "    y = (y - u) / torch.sqrt(s + 1e-6) * self.scale + self.shift\n";
  const std::string by_hand_masked =
      "    u = (y * m).sum(-1, True) / m.sum()\n"
      "    s = ((y - u).pow(2) * m).sum(-1, True) / m.sum()\n"
      "    y = (y - u) / torch.sqrt(s + 1e-6) * self.scale + self.shift\n";
  const std::string by_length =
      "    y = y / (torch.linalg_vector_norm(y, 2, [-1], True) * 0.3 + 1e-6) * self.scale\n";
  const std::string by_length_masked =
      "    y = y / (torch.sqrt((y * y * m).sum(-1, True)) * 0.3 + 1e-6) * self.scale\n";
  const std::string by_root =
      "    t = y.to(7)\n"
      "    y = (t * torch.rsqrt(t.pow(2).mean(-1, True) + 1e-6)).type_as(x) * (1 + self.scale)\n";
  const std::string by_root_masked =
      "    y = y * torch.rsqrt((y * y * m).sum(-1, True) / m.sum() + 1e-6) * (1 + self.scale)\n";
  const std::string of_images =
      "    u = y.mean(1, True)\n"
      "    s = (y - u).pow(2).mean(1, True)\n"
      "    y = self.scale[:, None, None] * ((y - u) / torch.sqrt(s + 1e-6))\n";
  const std::string of_images_masked =
      "    u = (y * m).sum(1, True) / m.sum()\n"
      "    s = ((y - u).pow(2) * m).sum(1, True) / m.sum()\n"
      "    y = self.scale[:, None, None] * ((y - u) / torch.sqrt(s + 1e-6))\n";
  const std::string power =
      "    p = y.mean(1, True) + y.std(1, False, True)\n    y = y / (p.abs() + 1.0) * self.scale\n";
  return {
      with_twin(after_linear("layer_norm_by_hand", 8, by_hand, 8, "plain 8 statistics",
                             {{"scale", {8}}, {"shift", {8}}}),
                by_hand, by_hand_masked),
      with_twin(after_linear("length_norm", 8, by_length, 8, "plain 8 operand", {{"scale", {8}}}),
                by_length, by_length_masked),
      with_twin(after_linear("rms_norm_in_another_type", 8, by_root, 8, "plain 8 statistics",
                             {{"scale", {8}}}),
                by_root, by_root_masked),
      with_twin(after_stem("layer_norm_of_channels", 8, of_images, 8, "plain 8 statistics",
                           {{"scale", {8}}}),
                of_images, of_images_masked),
      after_linear("norm_over_tokens", 8, power, 8, "plain 8 exact", {{"scale", {8}}}),
      after_linear("batch_norm_of_tokens", 8,
                   "    y = torch.batch_norm(y.transpose(1, 2), self.scale, self.shift, self.mean, "
                   "self.var, False, 0.1, 1e-5, True).transpose(1, 2)\n",
                   8, "plain 8 exact",
                   {{"scale", {8}}, {"shift", {8}}, buffer("mean", {8}), buffer("var", {8})}),
      after_linear("group_norm_of_tokens", 12,
                   "    y = torch.group_norm(y.transpose(1, 2), 4, self.scale, self.shift)\n"
                   "    y = y.transpose(1, 2)\n",
                   12, "columns 3 x4 statistics; rows 4 exact", {{"scale", {12}}, {"shift", {12}}}),
      after_linear("tanh_in_place_of_a_norm", 8,
                   "    y = torch.tanh(y * self.alpha) * self.scale + self.shift\n", 8,
                   "plain 8 exact", {{"alpha", {1}}, {"scale", {8}}, {"shift", {8}}}),
  };
}

std::vector<Network> gates() {
  const auto gated = [](const std::string& name, const std::string& gate) {
    return after_linear(name, 16, "    a, g = torch.chunk(y, 2, -1)\n    y = a * " + gate + "\n", 8,
                        "plain 8 exact");
  };
  const auto plain = [](const std::string& name, const std::string& function) {
    return after_linear(name, 8, "    y = " + function + "\n", 8, "plain 8 exact");
  };
  return {
      gated("gelu_gate", "torch.gelu(g)"),
      gated("relu_gate", "torch.relu(g)"),
      gated("silu_gate", "torch.silu(g)"),
      gated("no_function_at_the_gate", "g"),
      plain("gelu_by_tanh", "torch.gelu(y, approximate=\"tanh\")"),
      plain("gelu_by_sigmoid", "y * torch.sigmoid(1.702 * y)"),
      plain("gelu_by_hand", "y * 0.5 * (1.0 + torch.erf(y / 1.4142135))"),
      plain("squared_relu", "torch.relu(y).square()"),
      plain("mish_and_softplus", "torch.mish(y) + torch.softplus(y, 1, 20) + torch.hardswish(y)"),
      after_linear("gate_over_tokens", 16,
                   "    u, v = torch.chunk(torch.gelu(y), 2, -1)\n"
                   "    v = torch.layer_norm(v, [8], self.scale)\n"
                   "    v = torch.conv1d(v, self.tokens, self.bias)\n    y = u * v\n",
                   8, "plain 8 statistics", {{"scale", {8}}, {"tokens", {5, 5, 1}}, {"bias", {5}}}),
      after_linear("maximum_of_two", 8, "    y = torch.maximum(y, torch.linear(x, self.other))\n",
                   8, "plain 8 exact", {{"other", {8, 10}}}),
      after_linear("highway", 8,
                   "    t = torch.sigmoid(torch.linear(x, self.gate))\n"
                   "    y = t * torch.relu(y) + (1 - t) * torch.linear(x, self.carry)\n",
                   8, "plain 8 exact", {{"gate", {8, 10}}, {"carry", {8, 10}}}),
      after_linear("adapter", 8,
                   "    y = y + torch.linear(torch.relu(torch.linear(y, self.down)), self.up)\n", 8,
                   "plain 3 exact; plain 8 exact", {{"down", {3, 8}}, {"up", {8, 3}}}),
      after_linear("bottleneck_of_one", 8,
                   "    y = y + torch.linear(torch.relu(torch.linear(y, self.down)), self.up)\n", 8,
                   "plain 8 exact", {{"down", {1, 8}}, {"up", {8, 1}}}),
      after_linear("experts_by_gate", 8,
                   "    g = torch.softmax(torch.linear(y, self.router), -1)\n"
                   "    h = torch.gelu(torch.einsum(\"bnc,ehc->bneh\", [y, self.up]))\n"
                   "    h = torch.einsum(\"bneh,ech->bnec\", [h, self.down])\n"
                   "    y = (h * g.unsqueeze(-1)).sum(2)\n",
                   8, "plain 6 exact; plain 8 exact; plain 8 exact",
                   {{"router", {3, 8}}, {"up", {3, 6, 8}}, {"down", {3, 8, 6}}}),
      staying(after_linear("two_best_experts", 8,
                           "    g = torch.softmax(torch.linear(y, self.router), -1)\n"
                           "    v, i = torch.topk(g, 2, -1)\n"
                           "    h = torch.einsum(\"bnc,ekc->bnek\", [y, self.experts])\n"
                           "    i = i.unsqueeze(-1).expand([-1, -1, -1, 8])\n"
                           "    y = (torch.gather(h, 2, i) * v.unsqueeze(-1)).sum(2)\n",
                           8, "plain 8 exact; plain 8 exact",
                           {{"router", {3, 8}}, {"experts", {3, 8, 8}}}),
              {"experts[0] 3", "router[0] 3"}),
  };
}

/// Residual streams: what writes into them and what reads them.
std::vector<Network> streams() {
  const std::string mlp =
      "torch.linear(torch.gelu(torch.linear(z, self.up, self.ub)), self.down, self.db)";
  const std::vector<Weight> mlp_weights = {
      {"up", {16, 12}}, {"ub", {16}}, {"down", {12, 16}}, {"db", {12}}};
  return {
      after_linear("pre_norm", 12,
                   "    z = torch.layer_norm(y, [12], self.scale)\n    y = y + " + mlp + "\n", 12,
                   "plain 12 statistics; plain 16 exact", with(mlp_weights, {{"scale", {12}}})),
      after_linear("post_norm", 12,
                   "    z = y\n    y = torch.layer_norm(y + " + mlp + ", [12], self.scale)\n", 12,
                   "plain 12 statistics; plain 16 exact", with(mlp_weights, {{"scale", {12}}})),
      after_linear("layer_scale", 12, "    z = y\n    y = y + self.gamma * " + mlp + "\n", 12,
                   "plain 12 exact; plain 16 exact", with(mlp_weights, {{"gamma", {12}}})),
      after_linear("one_scale_for_all", 12, "    z = y\n    y = y + self.gamma * " + mlp + "\n", 12,
                   "plain 12 exact; plain 16 exact", with(mlp_weights, {{"gamma", {1}}})),
      after_linear("dropped_paths", 12,
                   "    z = y\n    r = " + mlp +
                       "\n"
                       "    if self.training:\n"
                       "        keep = torch.rand([r.size(0), 1, 1], dtype=r.dtype) + 0.9\n"
                       "        r = r.div(0.9) * keep.floor()\n"
                       "    y = y + r\n",
                   12, "plain 12 exact; plain 16 exact", mlp_weights),
      after_linear("dropout", 12,
                   "    z = torch.dropout(y, 0.3, self.training)\n    y = y + " + mlp + "\n", 12,
                   "plain 12 exact; plain 16 exact", mlp_weights),
      after_linear("parallel_branches", 12,
                   "    z = torch.rms_norm(y, [12], self.scale)\n"
                   "    q, k, v = torch.chunk(torch.linear(z, self.qkv), 3, -1)\n"
                   "    a = torch.scaled_dot_product_attention(q, k, v)\n"
                   "    y = y + torch.linear(a, self.proj) + " +
                       mlp + "\n",
                   12, "plain 12 statistics; plain 16 exact; plain 8 exact; plain 8 operand",
                   with(mlp_weights, {{"scale", {12}}, {"qkv", {24, 12}}, {"proj", {12, 8}}})),
      after_linear("gate_of_attention", 12,
                   "    q, k, v, g = torch.split(torch.linear(y, self.packed), [4, 4, 8, 8], -1)\n"
                   "    a = torch.relu(torch.matmul(q, k.transpose(1, 2))).square()\n"
                   "    y = y + torch.linear(torch.matmul(a, v) * torch.silu(g), self.proj)\n",
                   12, "plain 12 exact; plain 4 operand; plain 8 exact",
                   {{"packed", {24, 12}}, {"proj", {12, 8}}}),
      after_linear("register_tokens", 12,
                   "    y = torch.cat([self.cls.expand([x.size(0), -1, -1]), "
                   "self.register.expand([x.size(0), -1, -1]), y], 1)\n"
                   "    y = y + torch.cat([self.cls * 0, self.register * 0, self.places], 1)\n"
                   "    y = torch.cat([y[:, :1], y[:, 4:].mean(1, True)], -1)\n",
                   24, "plain 12 exact",
                   {{"cls", {1, 1, 12}}, {"register", {1, 3, 12}}, {"places", {1, 5, 12}}}),
      after_linear("places_by_number", 12,
                   "    y = y + torch.embedding(self.table, torch.arange(y.size(1)))\n", 12,
                   "plain 12 exact", {{"table", {9, 12}}}),
      after_linear("places_cut_to_length", 12, "    y = y + self.table[:, :y.size(1)]\n", 12,
                   "plain 12 exact", {{"table", {1, 9, 12}}}),
      after_linear("places_by_waves", 12, "    y = y * 3.46 + self.waves[:y.size(1)]\n", 12,
                   "plain 12 exact", {buffer("waves", {9, 12})}),
      after_linear("conditioned_by_another_input", 12,
                   "    s, t, g = torch.chunk(torch.linear(torch.silu(x[:, 0]), self.cond), 3, 1)\n"
                   "    z = torch.layer_norm(y, [12]) * (1 + s.unsqueeze(1)) + t.unsqueeze(1)\n"
                   "    y = y + g.unsqueeze(1) * " +
                       mlp + "\n",
                   12, "plain 12 statistics; plain 16 exact",
                   with(mlp_weights, {{"cond", {36, 10}}})),
      after_linear("two_layers_of_one_weight", 12,
                   "    z = y\n    y = y + " + mlp + "\n    z = y\n    y = y + " + mlp + "\n", 12,
                   "plain 12 exact; plain 16 exact", mlp_weights),
  };
}

/// What mixes tokens instead of attention.
std::vector<Network> mixers() {
  return {
      after_linear("mixer", 12,
                   "    z = torch.layer_norm(y, [12], self.scale).transpose(1, 2)\n"
                   "    z = torch.linear(torch.gelu(torch.linear(z, self.up)), self.down)\n"
                   "    y = y + z.transpose(1, 2)\n",
                   12, "plain 12 statistics; plain 8 exact",
                   {{"scale", {12}}, {"up", {8, 5}}, {"down", {5, 8}}}),
      after_linear("pooling", 12,
                   "    z = torch.avg_pool1d(y.transpose(1, 2), [3], [1], [1], False, False)\n"
                   "    y = y + (z.transpose(1, 2) - y) * self.scale\n",
                   12, "plain 12 exact", {{"scale", {12}}}),
      staying(
          after_linear("fourier", 12,
                       "    y = torch.real(torch.fft_fft(torch.fft_fft(y, None, -1), None, 1))\n",
                       12, "none"),
          {"stem[0] 12", "head[1] 12"}),
      after_linear("fourier_of_tokens", 12, "    y = torch.real(torch.fft_fft(y, None, 1)) + y\n",
                   12, "plain 12 exact"),
      after_linear("depthwise_over_tokens", 12,
                   "    z = torch.conv1d(y.transpose(1, 2), self.depth, None, [1], [1], [1], 12)\n"
                   "    y = torch.silu(z).transpose(1, 2) + y\n",
                   12, "plain 12 exact", {{"depth", {12, 1, 3}}}),
      after_linear(
          "convolution_module", 12,
          "    z = torch.conv1d(y.transpose(1, 2), self.wide)\n"
          "    z = torch.glu(z, 1)\n"
          "    z = torch.conv1d(z, self.depth, None, [1], [1], [1], 8)\n"
          "    z = torch.batch_norm(z, self.scale, self.shift, self.mean, self.var, False, "
          "0.1, 1e-5, True)\n"
          "    y = y + torch.conv1d(torch.silu(z), self.narrow).transpose(1, 2)\n",
          12, "plain 12 exact; plain 8 exact",
          {{"wide", {16, 12, 1}},
           {"depth", {8, 1, 3}},
           {"scale", {8}},
           {"shift", {8}},
           buffer("mean", {8}),
           buffer("var", {8}),
           {"narrow", {12, 8, 1}}}),
      after_linear("cumulated_over_time", 12, "    y = torch.cumsum(y, 1) * self.scale\n", 12,
                   "plain 12 exact", {{"scale", {12}}}),
      after_linear("shifted_in_time", 12,
                   "    s = torch.constant_pad_nd(y, [0, 0, 1, -1], 0)\n"
                   "    y = y * self.mix + s * (1 - self.mix)\n",
                   12, "plain 12 exact", {{"mix", {12}}}),
      after_linear(
          "pooled_to_one_token", 12,
          "    w = torch.softmax(torch.linear(torch.tanh(torch.linear(y, self.a)), self.b), 1)\n"
          "    y = (y * w).sum(1)\n",
          12, "plain 12 exact; plain 6 exact", {{"a", {6, 12}}, {"b", {1, 6}}}),
      after_linear("pooled_to_learned_tokens", 12,
                   "    w = torch.softmax(torch.linear(y, self.a), 1)\n"
                   "    y = torch.matmul(w.transpose(1, 2), y).flatten(1)\n",
                   36, "plain 12 exact; plain 3 exact", {{"a", {3, 12}}}),
      after_linear(
          "latent_array", 12,
          "    k = torch.linear(y, self.wk)\n"
          "    q = torch.linear(self.latent, self.wq)\n"
          "    y = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(1, 2)), -1), y)\n"
          "    y = y + self.latent\n",
          12, "plain 12 exact; plain 8 exact",
          {{"latent", {3, 12}}, {"wq", {8, 12}}, {"wk", {8, 12}}}),
  };
}

/// Networks with a vocabulary, an image cut in patches, or patches merged.
std::vector<Network> inputs_and_outputs() {
  Network words = {"words_places_and_kinds",
                   {{"words", {11, 12}},
                    {"places", {8, 12}},
                    {"kinds", {2, 12}},
                    {"scale", {12}},
                    {"shift", {12}},
                    {"transform", {12, 12}},
                    {"bias", {11}}},
                   R"(
def forward(self, tokens, kinds):
    b, n = tokens.shape
    p = torch.arange(n).unsqueeze(0).expand([b, -1])
    y = torch.embedding(self.words, tokens) + torch.embedding(self.places, p)
    y = torch.layer_norm(y + torch.embedding(self.kinds, kinds), [12], self.scale, self.shift)
    y = torch.layer_norm(torch.gelu(torch.linear(y, self.transform)), [12])
    return torch.linear(y, self.words, self.bias)
)",
                   {{2, 5}, {2, 5}},
                   "plain 12 statistics"};
  words.vocabulary = {11, 2};
  Network padded = {"mean_of_words_that_are_there",
                    {{"words", {11, 12}}, {"head", {5, 12}}},
                    R"(
def forward(self, tokens):
    there = (tokens != 0).to(7).unsqueeze(-1)
    y = torch.embedding(self.words, tokens, 0) * there
    y = y.sum(1) / torch.clamp_min(there.sum(1), 1.0)
    return torch.linear(torch.relu(y), self.head)
)",
                    {{2, 6}},
                    "plain 12 exact"};
  padded.vocabulary = {11};
  Network sentence = {
      "convolved_words",
      {{"words", {11, 8}}, {"two", {6, 8, 2}}, {"three", {4, 8, 3}}, {"head", {5, 10}}},
      R"(
def forward(self, tokens):
    y = torch.embedding(self.words, tokens).transpose(1, 2)
    y = [torch.relu(torch.conv1d(y, w)).amax(2) for w in [self.two, self.three]]
    return torch.linear(torch.cat(y, 1), self.head)
)",
      {{2, 6}},
      "plain 4 exact; plain 6 exact; plain 8 exact"};
  sentence.vocabulary = {11};
  return {
      words,
      padded,
      sentence,
      after_stem("patches", 12,
                 "    y = y.flatten(2).transpose(1, 2)[:, 1]\n"
                 "    y = y.unsqueeze(2).unsqueeze(3)\n",
                 12, "plain 12 exact"),
      after_stem("patches_cut_by_views", 12,
                 "    t = x.reshape([-1, 3, 2, 2, 2, 2]).permute([0, 2, 4, 3, 5, 1]).flatten(3)\n"
                 "    t = torch.linear(t.flatten(1, 2), self.embed)\n"
                 "    t = t.transpose(1, 2).view([-1, 12, 2, 2])\n"
                 "    y = torch.avg_pool2d(y, [2, 2]) + t\n",
                 12, "plain 12 exact", {{"embed", {12, 12}}}),
      after_stem("merged_patches", 6,
                 "    t = y.permute([0, 2, 3, 1])\n"
                 "    t = torch.cat([t[:, ::2, ::2], t[:, 1::2, ::2], t[:, ::2, 1::2], "
                 "t[:, 1::2, 1::2]], -1)\n"
                 "    t = torch.layer_norm(t, [24], self.scale)\n"
                 "    y = torch.linear(t, self.merge).permute([0, 3, 1, 2])\n",
                 8, "plain 6 statistics; plain 8 exact", {{"scale", {24}}, {"merge", {8, 24}}}),
      after_stem("expanded_patches", 8,
                 "    t = torch.linear(y.permute([0, 2, 3, 1]), self.expand)\n"
                 "    t = t.view([-1, 4, 4, 2, 2, 3]).permute([0, 1, 3, 2, 4, 5])\n"
                 "    y = t.reshape([-1, 8, 8, 3]).permute([0, 3, 1, 2])\n",
                 3, "plain 3 exact; plain 8 exact", {{"expand", {12, 8}}}),
      after_linear("best_tokens_only", 12,
                   "    s = torch.linear(y, self.score).squeeze(-1)\n"
                   "    i = torch.topk(s, 3, 1)[1].unsqueeze(-1).expand([-1, -1, 12])\n"
                   "    y = torch.gather(y, 1, i)\n",
                   12, "plain 12 exact", {{"score", {1, 12}}}),
      after_linear("tokens_as_an_image", 12,
                   "    t = y[:, 1:].transpose(1, 2).reshape([-1, 12, 2, 2])\n"
                   "    t = torch.upsample_bilinear2d(t, [4, 4], False)\n"
                   "    y = torch.conv2d(t, self.up).flatten(2).transpose(1, 2)\n",
                   8, "plain 12 exact; plain 8 exact", {{"up", {8, 12, 1, 1}}}),
      after_linear("decoder_tied_to_encoder", 12,
                   "    y = torch.linear(torch.relu(torch.linear(y, self.w)), self.w.t())\n", 12,
                   "plain 12 exact; plain 8 exact", {{"w", {8, 12}}}),
  };
}

TEST_P(TransformerBlock, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Norm, TransformerBlock, ::testing::ValuesIn(norms()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Gate, TransformerBlock, ::testing::ValuesIn(gates()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Stream, TransformerBlock, ::testing::ValuesIn(streams()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Mixer, TransformerBlock, ::testing::ValuesIn(mixers()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Ends, TransformerBlock, ::testing::ValuesIn(inputs_and_outputs()),
                         name_of_pattern);

}  // namespace
}  // namespace cpd::testing
