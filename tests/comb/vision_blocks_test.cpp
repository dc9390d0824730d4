#include "pattern.h"

namespace cpd::testing {
namespace {

/// Blocks, necks and heads of networks for images.
class VisionBlock : public Pattern {};

std::vector<Network> attentions_over_channels() {
  const std::string response =
      "    g = torch.linalg_vector_norm(y, 2, [2, 3], True)\n"
      "    y = self.gamma * (y * (g / (g.mean(1, True) + 1e-6))) + self.beta + y\n";
  const std::string response_masked =
      "    g = torch.linalg_vector_norm(y, 2, [2, 3], True)\n"
      "    y = self.gamma * (y * (g / ((g * m).sum(1, True) / m.sum() + 1e-6))) + self.beta + y\n";
  const std::string spatial =
      "    p = torch.cat([y.mean(1, True), y.amax(1, True)], 1)\n"
      "    y = y * torch.sigmoid(torch.conv2d(p, self.map, None, [1, 1], [1, 1]))\n";
  const std::string spatial_masked =
      "    p = torch.cat([(y * m).sum(1, True) / m.sum(), "
      "torch.where(m > 0, y, -1e9).amax(1, True)], 1)\n"
      "    y = y * torch.sigmoid(torch.conv2d(p, self.map, None, [1, 1], [1, 1]))\n";
  return {
      with_twin(after_stem("global_response", 8, response, 8, "plain 8 statistics",
                           {{"gamma", {1, 8, 1, 1}}, {"beta", {1, 8, 1, 1}}}),
                response, response_masked),
      with_twin(after_stem("spatial_attention", 8, spatial, 8, "plain 8 statistics",
                           {{"map", {1, 2, 3, 3}}}),
                spatial, spatial_masked),
      after_stem("shared_squeeze_of_mean_and_maximum", 8,
                 "    a = torch.adaptive_avg_pool2d(y, [1, 1])\n"
                 "    b = torch.adaptive_max_pool2d(y, [1, 1])[0]\n"
                 "    a = torch.conv2d(torch.relu(torch.conv2d(a, self.down)), self.up)\n"
                 "    b = torch.conv2d(torch.relu(torch.conv2d(b, self.down)), self.up)\n"
                 "    y = y * torch.sigmoid(a + b)\n",
                 8, "plain 4 exact; plain 8 exact", {{"down", {4, 8, 1, 1}}, {"up", {8, 4, 1, 1}}}),
      after_stem("squeeze_by_views", 8,
                 "    b, c, h, w = y.size()\n"
                 "    g = torch.adaptive_avg_pool2d(y, [1, 1]).view([b, c])\n"
                 "    g = torch.linear(torch.relu(torch.linear(g, self.down)), self.up)\n"
                 "    y = y * torch.sigmoid(g).view([b, c, 1, 1]).expand_as(y)\n",
                 8, "plain 4 exact; plain 8 exact", {{"down", {4, 8}}, {"up", {8, 4}}}),
      staying(after_stem("kernel_over_channels", 8,
                         "    g = y.mean([2, 3]).unsqueeze(1)\n"
                         "    g = torch.conv1d(g, self.near, None, [1], [1]).transpose(1, 2)\n"
                         "    y = y * torch.sigmoid(g).unsqueeze(-1)\n",
                         8, "none", {{"near", {1, 1, 3}}}),
              {"head[1] 8", "stem[0] 8"}),
      after_stem("attention_along_rows_and_columns", 8,
                 "    r = y.mean(3, True)\n"
                 "    c = y.mean(2, True).permute([0, 1, 3, 2])\n"
                 "    z = torch.relu(torch.conv2d(torch.cat([r, c], 2), self.down))\n"
                 "    r, c = torch.split(z, [4, 4], 2)\n"
                 "    r = torch.sigmoid(torch.conv2d(r, self.first))\n"
                 "    c = torch.sigmoid(torch.conv2d(c.permute([0, 1, 3, 2]), self.second))\n"
                 "    y = y * r * c\n",
                 8, "plain 4 exact; plain 8 exact",
                 {{"down", {4, 8, 1, 1}}, {"first", {8, 4, 1, 1}}, {"second", {8, 4, 1, 1}}}),
      after_stem("selected_kernels", 8,
                 "    a = torch.conv2d(y, self.small)\n"
                 "    b = torch.conv2d(y, self.large, None, [1, 1], [1, 1])\n"
                 "    z = torch.relu(torch.conv2d((a + b).mean([2, 3], True), self.down))\n"
                 "    g = torch.cat([torch.conv2d(z, self.ga), torch.conv2d(z, self.gb)], 1)\n"
                 "    g = torch.softmax(g.reshape([-1, 2, 8, 1, 1]), 1)\n"
                 "    y = a * g[:, 0] + b * g[:, 1]\n",
                 8, "plain 4 exact; plain 8 exact; plain 8 exact",
                 {{"small", {8, 8, 1, 1}},
                  {"large", {8, 8, 3, 3}},
                  {"down", {4, 8, 1, 1}},
                  {"ga", {8, 4, 1, 1}},
                  {"gb", {8, 4, 1, 1}}}),
      after_stem("context_by_attention", 8,
                 "    w = torch.softmax(torch.conv2d(y, self.map).flatten(2), 2).unsqueeze(-1)\n"
                 "    c = torch.matmul(y.flatten(2).unsqueeze(1), w).view([-1, 8, 1, 1])\n"
                 "    c = torch.layer_norm(torch.conv2d(c, self.down), [4, 1, 1], self.scale)\n"
                 "    y = y + torch.conv2d(torch.relu(c), self.up)\n",
                 8, "plain 4 statistics; plain 8 exact",
                 {{"map", {1, 8, 1, 1}},
                  {"down", {4, 8, 1, 1}},
                  {"scale", {4, 1, 1}},
                  {"up", {8, 4, 1, 1}}}),
      after_stem("pairs_of_places", 8,
                 "    q = torch.conv2d(y, self.q).flatten(2)\n"
                 "    k = torch.conv2d(y, self.k).flatten(2)\n"
                 "    v = torch.conv2d(y, self.v).flatten(2)\n"
                 "    a = torch.softmax(torch.bmm(q.transpose(1, 2), k), -1)\n"
                 "    z = torch.bmm(a, v.permute([0, 2, 1])).permute([0, 2, 1]).contiguous()\n"
                 "    y = y + self.gamma * torch.conv2d(z.view([-1, 6, 4, 4]), self.o)\n",
                 8, "plain 4 operand; plain 6 exact; plain 8 exact",
                 {{"q", {4, 8, 1, 1}},
                  {"k", {4, 8, 1, 1}},
                  {"v", {6, 8, 1, 1}},
                  {"o", {8, 6, 1, 1}},
                  {"gamma", {1}}}),
  };
}

std::vector<Network> blocks() {
  return {
      after_stem("convolutions_after_each_other_in_scales", 16,
                 "    a, b, c, d = torch.chunk(y, 4, 1)\n"
                 "    b = torch.conv2d(b, self.f, None, [1, 1], [1, 1])\n"
                 "    c = torch.conv2d(c + b, self.g, None, [1, 1], [1, 1])\n"
                 "    d = torch.conv2d(d + c, self.h, None, [1, 1], [1, 1])\n"
                 "    y = torch.cat([a, b, c, d], 1)\n",
                 16, "plain 4 exact; plain 4 exact; plain 4 exact; plain 4 exact; plain 4 exact",
                 {{"f", {4, 4, 3, 3}}, {"g", {4, 4, 3, 3}}, {"h", {4, 4, 3, 3}}}),
      after_stem("cheap_channels", 6,
                 "    z = torch.conv2d(y, self.depth, None, [1, 1], [1, 1], [1, 1], 6)\n"
                 "    y = torch.cat([y, torch.relu(z)], 1)\n",
                 12, "plain 6 exact", {{"depth", {6, 1, 3, 3}}}),
      after_stem("cheap_channels_cut", 6,
                 "    z = torch.conv2d(y, self.depth, None, [1, 1], [1, 1], [1, 1], 6)\n"
                 "    y = torch.cat([y, torch.relu(z)], 1)[:, :10]\n",
                 10, "plain 2 exact; plain 4 exact", {{"depth", {6, 1, 3, 3}}}),
      after_stem(
          "three_branches_with_identity", 8,
          "    i = torch.batch_norm(y, self.s, self.t, self.mean, self.var, False, 0.1, 1e-5, "
          "True)\n"
          "    y = i + torch.conv2d(y, self.one) + torch.conv2d(y, self.three, None, [1, 1], "
          "[1, 1])\n",
          8, "plain 8 exact",
          {{"s", {8}},
           {"t", {8}},
           buffer("mean", {8}),
           buffer("var", {8}),
           {"one", {8, 8, 1, 1}},
           {"three", {8, 8, 3, 3}}}),
      after_stem(
          "parallel_branches", 8,
          "    a = torch.conv2d(y, self.a)\n"
          "    b = torch.conv2d(torch.relu(torch.conv2d(y, self.b)), self.c, None, [1, 1], "
          "[1, 1])\n"
          "    d = torch.conv2d(torch.max_pool2d(y, [3, 3], [1, 1], [1, 1]), self.d)\n"
          "    y = torch.cat([a, b, d], 1)\n",
          12, "plain 3 exact; plain 4 exact; plain 4 exact; plain 5 exact; plain 8 exact",
          {{"a", {4, 8, 1, 1}}, {"b", {4, 8, 1, 1}}, {"c", {5, 4, 3, 3}}, {"d", {3, 8, 1, 1}}}),
      after_stem("kernels_of_one_row_or_column", 8,
                 "    y = torch.conv2d(y, self.a, None, [1, 1], [0, 1])\n"
                 "    y = torch.conv2d(torch.relu(y), self.b, None, [1, 1], [1, 0])\n",
                 4, "plain 6 exact; plain 4 exact; plain 8 exact",
                 {{"a", {6, 8, 1, 3}}, {"b", {4, 6, 3, 1}}}),
      after_stem("inverted_residual", 8,
                 "    z = torch.clamp(torch.conv2d(y, self.wide), 0, 6)\n"
                 "    z = torch.conv2d(z, self.depth, self.bias, [1, 1], [1, 1], [1, 1], 24)\n"
                 "    g = torch.relu(torch.conv2d(z.mean([2, 3], True), self.down))\n"
                 "    z = z * torch.hardsigmoid(torch.conv2d(g, self.up))\n"
                 "    y = y + torch.conv2d(torch.hardswish(z), self.narrow)\n",
                 8, "plain 24 exact; plain 6 exact; plain 8 exact",
                 {{"wide", {24, 8, 1, 1}},
                  {"depth", {24, 1, 3, 3}},
                  {"bias", {24}},
                  {"down", {6, 24, 1, 1}},
                  {"up", {24, 6, 1, 1}},
                  {"narrow", {8, 24, 1, 1}}}),
      after_stem("channels_last_block", 8,
                 "    z = torch.conv2d(y, self.depth, None, [1, 1], [1, 1], [1, 1], 8)\n"
                 "    z = torch.layer_norm(z.permute([0, 2, 3, 1]), [8], self.scale, self.shift)\n"
                 "    z = torch.linear(torch.gelu(torch.linear(z, self.up)), self.down)\n"
                 "    y = y + (self.gamma * z).permute([0, 3, 1, 2])\n",
                 8, "plain 16 exact; plain 8 statistics",
                 {{"depth", {8, 1, 3, 3}},
                  {"scale", {8}},
                  {"shift", {8}},
                  {"up", {16, 8}},
                  {"down", {8, 16}},
                  {"gamma", {8}}}),
      after_stem("both_signs", 6, "    y = torch.cat([torch.relu(y), torch.relu(-y)], 1)\n", 12,
                 "plain 6 exact"),
      after_stem("blurred_by_a_buffer", 8,
                 "    y = torch.reflection_pad2d(y, [1, 1, 1, 1])\n"
                 "    y = torch.conv2d(y, self.blur.repeat([8, 1, 1, 1]), None, [2, 2], [0, 0], "
                 "[1, 1], 8)\n",
                 8, "plain 8 exact", {buffer("blur", {1, 1, 3, 3})}),
      after_stem("pixels_to_channels_by_slices", 4,
                 "    y = torch.cat([y[:, :, ::2, ::2], y[:, :, 1::2, ::2], y[:, :, ::2, 1::2], "
                 "y[:, :, 1::2, 1::2]], 1)\n",
                 16, "plain 4 exact"),
      after_stem("pixels_to_channels_and_back", 4,
                 "    y = torch.conv2d(torch.pixel_unshuffle(y, 2), self.body)\n"
                 "    y = torch.pixel_shuffle(y, 2)\n",
                 3, "plain 4 exact; rows 3 exact", {{"body", {12, 16, 1, 1}}}),
      after_stem("super_resolution", 4,
                 "    z = torch.prelu(torch.conv2d(y, self.wide), self.slope)\n"
                 "    z = torch.pixel_shuffle(z, 2)\n"
                 "    y = z + torch.upsample_nearest2d(y, [8, 8])\n",
                 4, "rows 4 exact", {{"wide", {16, 4, 1, 1}}, {"slope", {16}}}),
      after_stem("frozen_batch_norm", 8,
                 "    s = self.w * torch.rsqrt(self.var + 1e-5)\n"
                 "    t = self.b - self.mean * s\n"
                 "    y = torch.relu(y * s.reshape([1, -1, 1, 1]) + t.reshape([1, -1, 1, 1]))\n",
                 8, "plain 8 exact",
                 {buffer("w", {8}), buffer("b", {8}), buffer("mean", {8}), buffer("var", {8})}),
      after_stem(
          "one_convolution_two_norms", 8,
          "    a = torch.conv2d(y, self.body)\n"
          "    a = torch.batch_norm(a, self.s, self.t, self.m, self.var, False, 0.1, 1e-5, True)\n"
          "    b = torch.conv2d(torch.relu(a), self.body)\n"
          "    y = torch.batch_norm(b, self.u, None, self.n, self.other_var, False, 0.1, 1e-5, "
          "True)\n",
          8, "plain 8 exact",
          {{"body", {8, 8, 1, 1}},
           {"s", {8}},
           {"t", {8}},
           buffer("m", {8}),
           buffer("var", {8}),
           {"u", {8}},
           buffer("n", {8}),
           buffer("other_var", {8})}),
      staying(after_stem(
                  "norm_over_near_channels", 8,
                  "    s = torch.constant_pad_nd(y.square().unsqueeze(1), [0, 0, 0, 0, 1, 1], 0)\n"
                  "    s = torch.avg_pool3d(s, [3, 1, 1], [1, 1, 1]).squeeze(1)\n"
                  "    y = y / (s * 0.1 + 1.0).pow(0.75)\n",
                  8, "none"),
              {"head[1] 8", "stem[0] 8"}),
      after_stem("mean_by_a_learned_power", 8,
                 "    y = torch.clamp_min(y, 1e-2).pow(self.p)\n"
                 "    y = torch.adaptive_avg_pool2d(y, [1, 1]).pow(1.0 / self.p)\n",
                 8, "plain 8 exact", {{"p", {1}}}),
      after_stem("pyramid_of_pools_flattened", 4,
                 "    a = torch.adaptive_max_pool2d(y, [2, 2])[0].flatten(1)\n"
                 "    b = torch.adaptive_max_pool2d(y, [1, 1])[0].flatten(1)\n"
                 "    y = torch.cat([a, b], 1).unsqueeze(2).unsqueeze(3)\n",
                 20, "plain 4 exact"),
      after_stem(
          "mixed_kernels", 8,
          "    g = torch.softmax(torch.linear(y.mean([2, 3]), self.router), 1)\n"
          "    w = torch.matmul(g, self.bank.view([3, -1])).view([-1, 8, 1, 1])\n"
          "    b = y.size(0)\n"
          "    y = torch.conv2d(y.reshape([1, -1, 4, 4]), w, None, [1, 1], [0, 0], [1, 1], b)\n"
          "    y = y.view([b, 6, 4, 4])\n",
          6, "plain 6 exact; plain 8 operand", {{"router", {3, 8}}, {"bank", {3, 6, 8, 1, 1}}}),
      after_stem(
          "kernels_from_the_image", 8,
          "    k = torch.conv2d(y, self.kernel).view([-1, 2, 1, 9, 4, 4])\n"
          "    u = torch.im2col(y, [3, 3], [1, 1], [1, 1], [1, 1]).view([-1, 2, 4, 9, 4, 4])\n"
          "    y = (k * u).sum(3).view([-1, 8, 4, 4])\n",
          8, "", {{"kernel", {18, 8, 1, 1}}}),
      after_stem("masked_by_the_first_channel", 8,
                 "    g, z = torch.split(y, [1, 7], 1)\n    y = z * torch.sigmoid(g)\n", 7,
                 "plain 7 exact"),
      after_stem(
          "places_as_channels", 8,
          "    r = torch.arange(4, dtype=7).view([1, 1, 4, 1]).expand([y.size(0), 1, 4, 4])\n"
          "    c = torch.arange(4, dtype=7).view([1, 1, 1, 4]).expand([y.size(0), 1, 4, 4])\n"
          "    y = torch.cat([y, r, c], 1)\n",
          10, "plain 8 exact"),
      after_stem("batch_statistics_as_a_channel", 8,
                 "    s = torch.sqrt(y.var(0, False) + 1e-8).mean().expand([y.size(0), 1, 4, 4])\n"
                 "    y = torch.cat([y, s], 1)\n",
                 9, "plain 8 statistics"),
      after_stem("unpooled", 8,
                 "    p, i = torch.max_pool2d_with_indices(y, [2, 2], [2, 2])\n"
                 "    p = torch.conv2d(p, self.body)\n"
                 "    y = torch.max_unpool2d(p, i, [4, 4])\n",
                 8, "plain 8 exact", {{"body", {8, 8, 1, 1}}}),
      after_stem(
          "folded_patches", 8,
          "    y = torch.col2im(torch.conv2d(y, self.cols).flatten(2), [8, 8], [2, 2], [1, 1], "
          "[0, 0], [2, 2])\n",
          4, "plain 8 exact; rows 4 exact", {{"cols", {16, 8, 1, 1}}}),
      after_stem("unfolded_and_folded", 4,
                 "    u = torch.im2col(y, [2, 2], [1, 1], [0, 0], [2, 2])\n"
                 "    y = torch.col2im(u * 0.5, [4, 4], [2, 2], [1, 1], [0, 0], [2, 2])\n",
                 4, "plain 4 exact"),
  };
}

/// Modulation and mixing by a second activation.
std::vector<Network> pairs() {
  const std::string correlation =
      "    z = torch.conv2d(x.flip([3]), self.stem)\n"
      "    y = torch.einsum(\"bchw,bcij->bhwij\", [y, z]).flatten(3).permute([0, 3, 1, 2])\n";
  const std::string correlation_masked =
      "    z = torch.conv2d(x.flip([3]), self.stem) * m\n"
      "    y = torch.einsum(\"bchw,bcij->bhwij\", [y, z]).flatten(3).permute([0, 3, 1, 2])\n";
  const std::string modulated =
      "    s = torch.linear(x.mean([2, 3]), self.style) + 1.0\n"
      "    w = self.body.unsqueeze(0) * s.view([-1, 1, 8, 1, 1])\n"
      "    w = w * torch.rsqrt(w.square().sum([2, 3, 4], True) + 1e-8)\n"
      "    b = y.size(0)\n"
      "    w = w.view([b * 6, 8, 1, 1])\n"
      "    y = torch.conv2d(y.view([1, b * 8, 4, 4]), w, None, [1, 1], [0, 0], [1, 1], b)\n"
      "    y = y.view([b, 6, 4, 4])\n";
  return {
      with_twin(after_stem("correlation", 8, correlation, 16, "plain 8 operand"), correlation,
                correlation_masked),
      after_stem("shifted_correlation", 8,
                 "    z = torch.constant_pad_nd(torch.conv2d(x, self.other), [1, 1, 1, 1], 0)\n"
                 "    all = []\n"
                 "    for i in range(3):\n"
                 "        for j in range(3):\n"
                 "            all.append((y * z[:, :, i:i + 4, j:j + 4]).sum(1, True))\n"
                 "    y = torch.cat(all, 1)\n",
                 9, "plain 8 operand", {{"other", {8, 3, 1, 1}}}),
      after_stem("sum_of_all_pairs", 8,
                 "    t = y.flatten(2).transpose(1, 2)\n"
                 "    a = torch.linear(t, self.a).unsqueeze(1)\n"
                 "    b = torch.linear(t, self.b).unsqueeze(2)\n"
                 "    t = torch.relu(a + b).sum([1, 2])\n"
                 "    y = t.unsqueeze(2).unsqueeze(3)\n",
                 6, "plain 6 exact; plain 8 exact", {{"a", {6, 8}}, {"b", {6, 8}}}),
      after_stem("product_of_two_pools", 8,
                 "    z = torch.conv2d(x, self.other)\n"
                 "    y = torch.einsum(\"bihw,bjhw->bij\", [y, z]).flatten(1)\n"
                 "    y = torch.sign(y) * torch.sqrt(torch.abs(y) + 1e-5)\n"
                 "    y = y.unsqueeze(2).unsqueeze(3)\n",
                 48, "plain 6 exact; plain 8 exact", {{"other", {6, 3, 1, 1}}}),
      after_stem("scaled_and_shifted_by_another_network", 8,
                 "    s = torch.relu(torch.linear(x.mean([2, 3]), self.a))\n"
                 "    s = torch.linear(s, self.b).unsqueeze(2).unsqueeze(3)\n"
                 "    g, t = torch.chunk(s, 2, 1)\n"
                 "    y = torch.relu(y * (1 + g) + t)\n",
                 8, "plain 6 exact; plain 8 exact", {{"a", {6, 3}}, {"b", {16, 6}}}),
      after_stem("statistics_of_another_image", 8,
                 "    z = torch.conv2d(torch.flip(x, [2]) * 2, self.stem)\n"
                 "    n = (y - y.mean([2, 3], True)) / (y.std([2, 3], True, True) + 1e-5)\n"
                 "    y = n * z.std([2, 3], True, True) + z.mean([2, 3], True)\n",
                 8, "plain 8 exact"),
      after_stem("norm_modulated_by_a_map", 8,
                 "    n = torch.instance_norm(y, None, None, None, None, True, 0.1, 1e-5, True)\n"
                 "    h = torch.relu(torch.conv2d(x, self.shared, None, [1, 1], [1, 1]))\n"
                 "    y = n * (1 + torch.conv2d(h, self.gamma)) + torch.conv2d(h, self.beta)\n",
                 8, "plain 6 exact; plain 8 exact",
                 {{"shared", {6, 3, 3, 3}}, {"gamma", {8, 6, 1, 1}}, {"beta", {8, 6, 1, 1}}}),
      after_stem("modulated_weights", 8, modulated, 6, "plain 8 operand",
                 {{"style", {8, 3}}, {"body", {6, 8, 1, 1}}}),
      after_stem("assigned_to_centres", 8,
                 "    a = torch.softmax(torch.conv2d(y, self.assign).flatten(2), 1)\n"
                 "    f = y.flatten(2)\n"
                 "    v = torch.matmul(a, f.transpose(1, 2)) - a.sum(-1, True) * self.centres\n"
                 "    v = v / (torch.linalg_vector_norm(v, 2, [2], True) + 1e-6)\n"
                 "    y = v.flatten(1).unsqueeze(2).unsqueeze(3)\n",
                 32, "plain 8 operand", {{"assign", {4, 8, 1, 1}}, {"centres", {4, 8}}}),
      after_stem("distances_to_prototypes", 8,
                 "    t = y.mean([2, 3])\n"
                 "    d = (t.unsqueeze(1) - self.prototypes.unsqueeze(0)).square().sum(-1)\n"
                 "    y = torch.exp(-d).unsqueeze(2).unsqueeze(3)\n",
                 4, "plain 8 operand", {{"prototypes", {4, 8}}}),
      after_stem("cells_over_images", 8,
                 "    h = torch.zeros([y.size(0), 6, 4, 4], dtype=7)\n"
                 "    c = torch.zeros([y.size(0), 6, 4, 4], dtype=7)\n"
                 "    for t in range(2):\n"
                 "        g = torch.conv2d(torch.cat([y, h], 1), self.gates, self.bias)\n"
                 "        i, f, o, u = torch.chunk(g, 4, 1)\n"
                 "        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)\n"
                 "        h = torch.sigmoid(o) * torch.tanh(c)\n"
                 "    y = h\n",
                 6, "plain 6 exact; plain 8 exact", {{"gates", {24, 14, 1, 1}}, {"bias", {24}}}),
      after_stem("moved_in_time", 8,
                 "    t = y.view([-1, 2, 8, 4, 4])\n"
                 "    z = torch.zeros_like(t)\n"
                 "    z[:, :-1, :2] = t[:, 1:, :2]\n"
                 "    z[:, 1:, 2:4] = t[:, :-1, 2:4]\n"
                 "    z[:, :, 4:] = t[:, :, 4:]\n"
                 "    y = z.view([-1, 8, 4, 4])\n",
                 8, ""),
  };
}

/// Necks and heads that join several scales.
std::vector<Network> scales() {
  const std::string backbone =
      "    y = torch.relu(torch.conv2d(x, self.stem, None, [1, 1], [1, 1]))\n"
      "    z = torch.relu(torch.conv2d(y, self.down, None, [2, 2], [1, 1]))\n";
  const std::vector<Weight> stages = {{"stem", {6, 3, 3, 3}}, {"down", {8, 6, 3, 3}}};
  const auto network = [&](const std::string& name, std::vector<Weight> more,
                           const std::string& body, const std::string& units) {
    return Network{name,
                   with(stages, more),
                   "def forward(self, x):\n" + backbone + body,
                   {{2, 3, 8, 8}},
                   units};
  };
  return {
      network("pyramid", {{"a", {5, 6, 1, 1}}, {"b", {5, 8, 1, 1}}, {"out", {4, 5, 3, 3}}},
              "    q = torch.conv2d(z, self.b)\n"
              "    p = torch.conv2d(y, self.a) + torch.upsample_nearest2d(q, None, [2.0, 2.0])\n"
              "    p = torch.conv2d(p, self.out, None, [1, 1], [1, 1])\n"
              "    return [p, torch.conv2d(q, self.out, None, [1, 1], [1, 1])]\n",
              "plain 5 exact; plain 6 exact; plain 8 exact"),
      network("pyramid_with_weights_of_its_inputs",
              {{"a", {5, 6, 1, 1}}, {"b", {5, 8, 1, 1}}, {"share", {2}}, {"out", {4, 5, 1, 1}}},
              "    s = torch.relu(self.share)\n    s = s / (s.sum() + 1e-4)\n"
              "    q = torch.upsample_nearest2d(torch.conv2d(z, self.b), [8, 8])\n"
              "    p = s[0] * torch.conv2d(y, self.a) + s[1] * q\n"
              "    return torch.conv2d(torch.silu(p), self.out)\n",
              "plain 5 exact; plain 6 exact; plain 8 exact"),
      network("u_net", {{"up", {8, 4, 2, 2}}, {"body", {5, 10, 3, 3}}, {"out", {2, 5, 1, 1}}},
              "    u = torch.conv_transpose2d(z, self.up, None, [2, 2])\n"
              "    u = torch.relu(torch.conv2d(torch.cat([y, u], 1), self.body, None, [1, 1], [1, "
              "1]))\n"
              "    return torch.conv2d(u, self.out)\n",
              "plain 4 exact; plain 5 exact; plain 6 exact; plain 8 exact"),
      network("u_net_with_cropped_shortcut",
              {{"up", {8, 4, 2, 2}}, {"body", {5, 10, 3, 3}}, {"out", {2, 5, 1, 1}}},
              "    u = torch.conv_transpose2d(z[:, :, :-1, :-1], self.up, None, [2, 2])\n"
              "    h = (y.size(2) - u.size(2)) // 2\n"
              "    w = (y.size(3) - u.size(3)) // 2\n"
              "    c = y[:, :, h:h + u.size(2), w:w + u.size(3)]\n"
              "    u = torch.relu(torch.conv2d(torch.cat([c, u], 1), self.body))\n"
              "    return torch.conv2d(u, self.out)\n",
              "plain 4 exact; plain 5 exact; plain 6 exact; plain 8 exact"),
      network("dilated_branches",
              {{"a", {4, 8, 1, 1}},
               {"b", {4, 8, 3, 3}},
               {"c", {4, 8, 1, 1}},
               {"p", {5, 12, 1, 1}},
               {"out", {2, 5, 1, 1}}},
              "    a = torch.conv2d(z, self.a)\n"
              "    b = torch.conv2d(z, self.b, None, [1, 1], [2, 2], [2, 2])\n"
              "    c = torch.relu(torch.conv2d(torch.adaptive_avg_pool2d(z, [1, 1]), self.c))\n"
              "    c = torch.upsample_bilinear2d(c, [z.size(2), z.size(3)], False)\n"
              "    p = torch.relu(torch.conv2d(torch.cat([a, b, c], 1), self.p))\n"
              "    p = torch.conv2d(p, self.out)\n"
              "    return torch.upsample_bilinear2d(p, [x.size(2), x.size(3)], False)\n",
              "plain 4 exact; plain 4 exact; plain 4 exact; plain 5 exact; plain 6 exact; plain 8 "
              "exact"),
      network("pools_and_pyramid_with_auxiliary_output",
              {{"la", {5, 6, 1, 1}},
               {"p1", {4, 8, 1, 1}},
               {"p2", {4, 8, 1, 1}},
               {"lb", {5, 16, 3, 3}},
               {"fuse", {6, 10, 3, 3}},
               {"out", {3, 6, 1, 1}},
               {"aux", {4, 6, 3, 3}},
               {"auxout", {3, 4, 1, 1}}},
              "    pools = [z]\n"
              "    a = torch.conv2d(torch.adaptive_avg_pool2d(z, [1, 1]), self.p1)\n"
              "    pools.append(torch.upsample_bilinear2d(a, [4, 4], False))\n"
              "    a = torch.conv2d(torch.adaptive_avg_pool2d(z, [2, 2]), self.p2)\n"
              "    pools.append(torch.upsample_bilinear2d(a, [4, 4], False))\n"
              "    b = torch.conv2d(torch.cat(pools, 1), self.lb, None, [1, 1], [1, 1])\n"
              "    a = torch.conv2d(y, self.la) + torch.upsample_bilinear2d(b, [8, 8], False)\n"
              "    f = torch.cat([a, torch.upsample_bilinear2d(b, [8, 8], False)], 1)\n"
              "    f = torch.relu(torch.conv2d(f, self.fuse, None, [1, 1], [1, 1]))\n"
              "    t = torch.relu(torch.conv2d(y, self.aux, None, [1, 1], [1, 1]))\n"
              "    return {\"out\": torch.conv2d(f, self.out), \"aux\": torch.conv2d(t, "
              "self.auxout)}\n",
              "plain 4 exact; plain 4 exact; plain 4 exact; plain 5 exact; plain 6 exact; plain 6 "
              "exact; plain 8 exact"),
      network("exchanged_scales",
              {{"f", {6, 6, 1, 1}},
               {"g", {8, 8, 1, 1}},
               {"up", {6, 8, 1, 1}},
               {"dn", {8, 6, 3, 3}},
               {"out", {4, 14, 1, 1}}},
              "    a, b = torch.conv2d(y, self.f), torch.conv2d(z, self.g)\n"
              "    p = a + torch.upsample_nearest2d(torch.conv2d(b, self.up), [8, 8])\n"
              "    q = torch.conv2d(a, self.dn, None, [2, 2], [1, 1]) + b\n"
              "    q = torch.upsample_bilinear2d(torch.relu(q), [8, 8], True)\n"
              "    return torch.conv2d(torch.cat([torch.relu(p), q], 1), self.out)\n",
              "plain 6 exact; plain 6 exact; plain 8 exact; plain 8 exact"),
      network(
          "pooled_three_times",
          {{"in_", {4, 8, 1, 1}}, {"out", {5, 16, 1, 1}}, {"last", {2, 5, 1, 1}}},
          "    a = torch.conv2d(z, self.in_)\n"
          "    b = torch.max_pool2d(a, [3, 3], [1, 1], [1, 1])\n"
          "    c = torch.max_pool2d(b, [3, 3], [1, 1], [1, 1])\n"
          "    d = torch.max_pool2d(c, [3, 3], [1, 1], [1, 1])\n"
          "    return torch.conv2d(torch.silu(torch.conv2d(torch.cat([a, b, c, d], 1), self.out)), "
          "self.last)\n",
          "plain 4 exact; plain 5 exact; plain 6 exact; plain 8 exact"),
      network("split_parts_joined",
              {{"one", {12, 8, 1, 1}},
               {"b1", {6, 6, 3, 3}},
               {"b2", {6, 6, 3, 3}},
               {"two", {5, 18, 1, 1}},
               {"last", {2, 5, 1, 1}}},
              "    parts = list(torch.chunk(torch.silu(torch.conv2d(z, self.one)), 2, 1))\n"
              "    t = torch.silu(torch.conv2d(parts[-1], self.b1, None, [1, 1], [1, 1]))\n"
              "    t = torch.conv2d(t, self.b2, None, [1, 1], [1, 1])\n"
              "    parts.append(parts[-1] + torch.silu(t))\n"
              "    return torch.conv2d(torch.relu(torch.conv2d(torch.cat(parts, 1), self.two)), "
              "self.last)\n",
              "plain 5 exact; plain 6 exact; plain 6 exact; plain 6 exact; plain 6 exact; plain 8 "
              "exact"),
      network(
          "heads_of_all_scales",
          {{"ca", {4, 6, 1, 1}},
           {"cb", {4, 8, 1, 1}},
           {"tower", {4, 4, 3, 3}},
           {"cls", {6, 4, 1, 1}},
           {"box", {8, 4, 1, 1}}},
          "    scores, boxes = [], []\n"
          "    for f in [torch.conv2d(y, self.ca), torch.conv2d(z, self.cb)]:\n"
          "        t = torch.relu(torch.conv2d(f, self.tower, None, [1, 1], [1, 1]))\n"
          "        s = torch.conv2d(t, self.cls)\n"
          "        s = s.view([s.size(0), -1, 3, s.size(2), s.size(3)]).permute([0, 3, 4, 1, 2])\n"
          "        scores.append(s.reshape([s.size(0), -1, 3]))\n"
          "        b = torch.conv2d(t, self.box).permute([0, 2, 3, 1])\n"
          "        boxes.append(b.reshape([b.size(0), -1, 4]))\n"
          "    return torch.cat(scores, 1), torch.cat(boxes, 1)\n",
          "plain 4 exact; plain 4 exact; plain 6 exact; plain 8 exact"),
  };
}

TEST_P(VisionBlock, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Attention, VisionBlock, ::testing::ValuesIn(attentions_over_channels()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Block, VisionBlock, ::testing::ValuesIn(blocks()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Pair, VisionBlock, ::testing::ValuesIn(pairs()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Scale, VisionBlock, ::testing::ValuesIn(scales()), name_of_pattern);

}  // namespace
}  // namespace cpd::testing
