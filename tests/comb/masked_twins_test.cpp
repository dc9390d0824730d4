#include "pattern.h"

namespace cpd::testing {
namespace {

class MaskedTwin : public Pattern {};

/// `after_stem` with the same body, masks written in: `m` is the mask of the stem's filters.
Network twin_after_stem(const std::string& name, int64_t channels, const std::string& body,
                        const std::string& masked, int64_t read, const std::string& units,
                        std::vector<Weight> more = {}) {
  Network network = after_stem(name, channels, body, read, units, std::move(more));
  network.twin =
      "def forward(self, x):\n    y = torch.conv2d(x, self.stem)\n"
      "    m = self.keep_stem_0.view([1, -1, 1, 1])\n" +
      masked + "    return torch.conv2d(y, self.head)\n";
  return network;
}

std::vector<Network> sums() {
  return {
      twin_after_stem("sum", 8, "    y = y * torch.sigmoid(y.sum([1], True))\n",
                      "    y = y * torch.sigmoid((y * m).sum([1], True))\n", 8, "plain 8 operand"),
      twin_after_stem(
          "length", 8, "    y = y / (torch.linalg_vector_norm(y, 2, [1], True) + 1.0)\n",
          "    y = y / (torch.sqrt((y * y * m).sum([1], True)) + 1.0)\n", 8, "plain 8 operand"),
      twin_after_stem("mean", 8, "    y = y - y.mean([1], True)\n",
                      "    y = y - (y * m).sum([1], True) / m.sum()\n", 8, "plain 8 statistics"),
      twin_after_stem("largest", 8, "    y = y - y.amax([1], True)\n",
                      "    y = y - torch.where(m > 0, y, -1e9).amax([1], True)\n", 8,
                      "plain 8 statistics"),
      twin_after_stem("variance", 8, "    y = y / (y.var([1], False, True) + 1.0)\n",
                      "    d = (y - (y * m).sum([1], True) / m.sum()) * m\n"
                      "    y = y / ((d * d).sum([1], True) / m.sum() + 1.0)\n",
                      8, "plain 8 statistics"),
      twin_after_stem(
          "gram", 8,
          "    f = y.flatten(2)\n"
          "    y = y + torch.bmm(f, torch.bmm(f.transpose(1, 2), f)).view([-1, 8, 4, 4])\n",
          "    f = y.flatten(2)\n    g = (y * m).flatten(2)\n"
          "    y = y + torch.bmm(f, torch.bmm(g.transpose(1, 2), f)).view([-1, 8, 4, 4])\n",
          8, "plain 8 operand"),
      twin_after_stem("sum_of_rows", 12, "    y = y.view([-1, 4, 3, 4, 4]).sum(1)\n",
                      "    y = (y * m).view([-1, 4, 3, 4, 4]).sum(1)\n", 3,
                      "plain 3 exact; rows 4 operand"),
      twin_after_stem("capsules", 48,
                      "    z = y.view([-1, 8, 6, 4, 4])\n"
                      "    z = z / (torch.linalg_vector_norm(z, 2, [2], True) + 1.0)\n"
                      "    y = z.view([-1, 48, 4, 4])\n",
                      "    z = y.view([-1, 8, 6, 4, 4])\n"
                      "    k = (y * m).view([-1, 8, 6, 4, 4])\n"
                      "    z = z / (torch.sqrt((k * k).sum([2], True)) + 1.0)\n"
                      "    y = z.view([-1, 48, 4, 4])\n",
                      48, "columns 6 x8 operand; rows 8 exact"),
      twin_after_stem("maxout", 12, "    y = y.view([-1, 6, 2, 4, 4]).amax(2)\n",
                      "    y = torch.where(m > 0, y, -1e9).view([-1, 6, 2, 4, 4]).amax(2)\n"
                      "    y = torch.where(y > -1e8, y, 0.0)\n",
                      6, "columns 2 x6 statistics; rows 6 exact"),
  };
}

std::vector<Network> norms() {
  return {
      twin_after_stem(
          "group_norm", 12, "    y = torch.group_norm(y, 3, self.scale, self.shift)\n",
          "    k = m.view([1, 3, 4, 1, 1])\n"
          "    n = torch.clamp_min(k.sum([2, 3, 4], True) * 16, 1.0)\n"
          "    z = y.view([-1, 3, 4, 4, 4])\n"
          "    d = z - (z * k).sum([2, 3, 4], True) / n\n"
          "    v = (d * d * k).sum([2, 3, 4], True) / n\n"
          "    z = (d * torch.rsqrt(v + 1e-5)).view([-1, 12, 4, 4])\n"
          "    y = z * self.scale.view([1, -1, 1, 1]) + self.shift.view([1, -1, 1, 1])\n",
          12, "columns 4 x3 statistics; rows 3 exact", {{"scale", {12}}, {"shift", {12}}}),
      twin_after_stem(
          "layer_norm", 8,
          "    y = torch.layer_norm(y.permute([0, 2, 3, 1]), [8], self.scale, self.shift)\n"
          "    y = y.permute([0, 3, 1, 2])\n",
          "    d = y - (y * m).sum([1], True) / m.sum()\n"
          "    v = (d * d * m).sum([1], True) / m.sum()\n"
          "    z = (d * torch.rsqrt(v + 1e-5)).permute([0, 2, 3, 1])\n"
          "    y = (z * self.scale + self.shift).permute([0, 3, 1, 2])\n",
          8, "plain 8 statistics", {{"scale", {8}}, {"shift", {8}}}),
      twin_after_stem("rms_norm", 8,
                      "    y = torch.rms_norm(y.permute([0, 2, 3, 1]), [8], self.scale, 1e-5)\n"
                      "    y = y.permute([0, 3, 1, 2])\n",
                      "    v = (y * y * m).sum([1], True) / m.sum()\n"
                      "    z = (y * torch.rsqrt(v + 1e-5)).permute([0, 2, 3, 1])\n"
                      "    y = (z * self.scale).permute([0, 3, 1, 2])\n",
                      8, "plain 8 statistics", {{"scale", {8}}}),
      twin_after_stem("weight_standardisation", 8,
                      "    w = self.body - self.body.mean([1, 2, 3], True)\n"
                      "    w = w / (w.std([1, 2, 3], False, True) + 0.1)\n"
                      "    y = torch.conv2d(y, w)\n",
                      "    k = self.keep_body_1\n    n = k.sum()\n"
                      "    w = self.body - (self.body * k).sum([1, 2, 3], True) / n\n"
                      "    w = w / (torch.sqrt((w * w * k).sum([1, 2, 3], True) / n) + 0.1)\n"
                      "    y = torch.conv2d(y, w * k)\n",
                      6, "plain 6 exact; plain 8 statistics", {{"body", {6, 8, 1, 1}}}),
      twin_after_stem("weight_norm", 8,
                      "    w = torch._weight_norm(self.body, self.length, 0)\n"
                      "    y = torch.conv2d(y, w)\n",
                      "    b = self.body * self.keep_body_1\n"
                      "    w = b * self.length / torch.sqrt((b * b).sum([1, 2, 3], True))\n"
                      "    y = torch.conv2d(y, w)\n",
                      6, "plain 6 exact; plain 8 operand",
                      {{"body", {6, 8, 1, 1}}, {"length", {6, 1, 1, 1}}}),
  };
}

/// Attention of four heads of six; `q` is multiplied by the mask of its own projection.
Network attention_twin(const std::string& name, const std::string& dense, const std::string& masked,
                       const std::string& units, std::vector<Weight> more = {}) {
  const std::string head =
      "def forward(self, x):\n"
      "    q = torch.linear(x, self.wq).view([-1, 5, 4, 6]).transpose(1, 2)\n"
      "    k = torch.linear(x, self.wk).view([-1, 5, 4, 6]).transpose(1, 2)\n"
      "    v = torch.linear(x, self.wv).view([-1, 5, 4, 6]).transpose(1, 2)\n";
  const std::string tail =
      "    y = torch.scaled_dot_product_attention(q, k, v, None, 0.0, False, scale=0.4)\n"
      "    return torch.linear(y.transpose(1, 2).reshape([-1, 5, 24]), self.out)\n";
  Network network;
  network.name = name;
  network.weights = {{"wq", {24, 10}}, {"wk", {24, 10}}, {"wv", {24, 10}}, {"out", {7, 24}}};
  network.weights.insert(network.weights.end(), more.begin(), more.end());
  network.source = head + dense + tail;
  network.inputs = {{2, 5, 10}};
  network.units = units;
  network.twin = head + "    m = self.keep_wq_0.view([1, 4, 1, 6])\n" + masked + tail;
  return network;
}

std::vector<Network> attentions() {
  return {
      attention_twin("attention", "", "    q = q * m\n",
                     "columns 6 x4 exact; columns 6 x4 operand; rows 4 exact"),
      attention_twin(
          "norm_of_heads",
          "    q = torch.layer_norm(q, [6], self.scale)\n    k = torch.layer_norm(k, [6])\n",
          "    n = torch.clamp_min(m.sum([3], True), 1.0)\n"
          "    q = q - (q * m).sum([3], True) / n\n"
          "    k = k - (k * m).sum([3], True) / n\n"
          "    q = q * torch.rsqrt((q * q * m).sum([3], True) / n + 1e-5) * self.scale * m\n"
          "    k = k * torch.rsqrt((k * k * m).sum([3], True) / n + 1e-5)\n",
          "columns 6 x4 exact; plain 6 statistics; rows 4 exact", {{"scale", {6}}}),
  };
}

TEST_P(MaskedTwin, Agrees) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Sum, MaskedTwin, ::testing::ValuesIn(sums()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Norm, MaskedTwin, ::testing::ValuesIn(norms()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Attention, MaskedTwin, ::testing::ValuesIn(attentions()), name_of_pattern);

}  // namespace
}  // namespace cpd::testing
