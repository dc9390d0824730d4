#include "pattern.h"

namespace cpd::testing {
namespace {

class OpForm : public Pattern {};

std::vector<Network> layouts() {
  return {
      after_linear("movedim", 8, "    y = torch.movedim(y, 2, 0).movedim([0, 1], [2, 0])\n", 8,
                   "plain 8 exact"),
      after_linear("unflatten", 12, "    y = y.unflatten(2, [4, 3]).flatten(2)\n", 12,
                   "columns 3 x4 exact; rows 4 exact"),
      after_linear("view_back", 12,
                   "    y = torch.relu(y.view([-1, 5, 4, 3])).reshape([-1, 5, 12])\n", 12,
                   "columns 3 x4 exact; rows 4 exact"),
      after_linear("unbind_of_tokens", 8,
                   "    a = y.unbind(1)\n    y = torch.stack([a[0], a[3]], 1)\n", 8,
                   "plain 8 exact"),
      after_linear("tensor_split", 10,
                   "    a = torch.tensor_split(y, [3, 8], 2)\n"
                   "    y = torch.cat([a[2], torch.relu(a[0]), a[1]], 2)\n",
                   10, "plain 2 exact; plain 3 exact; plain 5 exact"),
      after_linear("three_dimensions_stacked", 4,
                   "    y = torch.hstack([y, y])\n    y = torch.dstack([y, y])\n", 8,
                   "plain 4 exact"),
      after_linear("tile", 4, "    y = torch.tile(y, [3])\n", 12, "plain 4 exact"),
      after_linear("expanded_row", 8, "    y = y + self.row.expand([-1, 5, -1])\n", 8,
                   "plain 8 exact", {{"row", {1, 1, 8}}}),
      after_linear("expand_as", 8, "    y = y * y.mean(1, True).expand_as(y)\n", 8,
                   "plain 8 exact"),
      after_linear("squeeze_that_does_nothing", 8, "    y = y.squeeze(2).unsqueeze(1).squeeze(1)\n",
                   8, "plain 8 exact"),
      after_linear("roll_of_tokens", 8, "    y = torch.roll(y, [1], [1])\n", 8, "plain 8 exact"),
      after_linear("flipped_tokens", 8, "    y = torch.flip(y, [1])\n", 8, "plain 8 exact"),
      after_linear("windows_of_tokens", 8, "    y = y.unfold(1, 3, 1).sum(-1)\n", 8,
                   "plain 8 exact"),
      after_linear("complex_pairs", 12,
                   "    z = torch.view_as_complex(y.reshape([-1, 5, 6, 2]))\n"
                   "    y = torch.view_as_real(z * torch.view_as_complex(self.table)).flatten(2)\n",
                   12, "rows 6 exact", {buffer("table", {5, 6, 2})}),
      after_linear("pad_of_heads", 12,
                   "    y = y.view([-1, 5, 4, 3])\n"
                   "    y = torch.constant_pad_nd(y, [0, 1], 0).flatten(2)\n",
                   16, "columns 3 x4 exact; rows 4 exact"),
      after_linear("slice_of_heads", 24, "    y = y.view([-1, 5, 4, 6])[:, :, :, 2:5].flatten(2)\n",
                   12, ""),
      after_linear("flip_of_heads", 24,
                   "    y = y.view([-1, 5, 4, 6])\n    y = (y + y.flip([3])).flatten(2)\n", 24,
                   "columns 3 x4 exact; rows 4 exact"),
      after_linear("two_tokens_selected", 8,
                   "    y = torch.stack([y.select(1, -1), y.select(1, 0)], 1)\n", 8,
                   "plain 8 exact"),
      after_linear("meshgrid", 6,
                   "    a, b = torch.meshgrid([self.rows, self.columns])\n"
                   "    y = torch.linear(y, (a * b).t())\n",
                   4, "plain 4 exact; plain 6 exact", {{"rows", {6}}, {"columns", {4}}}),
  };
}

std::vector<Network> contractions() {
  return {
      after_linear("matmul_with_weights", 8,
                   "    y = torch.relu(torch.matmul(y, self.w) + self.b)\n", 6,
                   "plain 6 exact; plain 8 exact", {{"w", {8, 6}}, {"b", {6}}}),
      after_linear("baddbmm", 8,
                   "    w = self.w.expand([2, 8, 6])\n"
                   "    y = torch.baddbmm(self.b, y[:2], w)\n",
                   6, "plain 6 exact; plain 8 exact", {{"w", {1, 8, 6}}, {"b", {1, 1, 6}}}),
      after_linear("addmm", 8,
                   "    y = torch.addmm(self.b, y.flatten(0, 1), self.w).view([-1, 5, 6])\n", 6,
                   "plain 6 exact; plain 8 exact", {{"w", {8, 6}}, {"b", {6}}}),
      after_linear("bilinear", 8,
                   "    y = torch.bilinear(y, torch.linear(x, self.o), self.w, self.b)\n", 6,
                   "plain 4 exact; plain 6 exact; plain 8 exact",
                   {{"o", {4, 10}}, {"w", {6, 8, 4}}, {"b", {6}}}),
      after_linear("einsum_with_ellipsis", 8,
                   "    y = torch.einsum(\"...i,io->...o\", [y, self.w])\n", 6,
                   "plain 6 exact; plain 8 exact", {{"w", {8, 6}}}),
      after_linear("einsum_without_arrow", 8, "    y = torch.einsum(\"bni,io\", [y, self.w])\n", 6,
                   "plain 6 exact; plain 8 exact", {{"w", {8, 6}}}),
      after_linear("einsum_of_a_diagonal", 8, "    y = y + torch.einsum(\"ii->i\", [self.w])\n", 8,
                   "none", {{"w", {8, 8}}}),
      after_linear("tensordot", 8, "    y = torch.tensordot(y, self.w, [2], [1])\n", 6,
                   "plain 6 exact; plain 8 exact", {{"w", {6, 8}}}),
      after_linear("low_rank_update", 8,
                   "    w = self.w + torch.matmul(self.up, self.down)\n"
                   "    y = torch.linear(y, w)\n",
                   6, "plain 6 exact; plain 8 exact",
                   {{"w", {6, 8}}, {"up", {6, 2}}, {"down", {2, 8}}}),
      after_linear("distances", 8,
                   "    d = torch.cdist(y, torch.linear(x, self.o))\n"
                   "    y = y + d.mean(2, True)\n",
                   8, "plain 8 operand", {{"o", {8, 10}}}),
      after_linear("spectral_norm", 8,
                   "    s = torch.dot(self.u, torch.mv(self.w, self.v))\n"
                   "    y = torch.relu(torch.linear(y, self.w / s))\n",
                   6, "plain 6 operand; plain 8 operand",
                   {{"w", {6, 8}}, buffer("u", {6}), buffer("v", {8})}),
      after_linear("gated", 16, "    y = torch.glu(y, 2)\n", 8, "plain 8 exact"),
      after_linear("gram", 8, "    y = torch.matmul(torch.matmul(y, y.transpose(1, 2)), y)\n", 8,
                   "plain 8 operand"),
      after_stem("volume", 8,
                 "    y = torch.conv3d(y.unsqueeze(2), self.w).squeeze(2)\n"
                 "    y = torch.avg_pool2d(y, [2, 2])\n",
                 6, "plain 6 exact; plain 8 exact", {{"w", {6, 8, 1, 1, 1}}}),
      after_stem("transposed_line", 8,
                 "    y = torch.conv_transpose1d(y.flatten(2), self.w, self.b, [2], [0], [0], 2)\n"
                 "    y = y.unsqueeze(3)\n",
                 12, "columns 4 x2 exact; columns 6 x2 exact; rows 2 exact",
                 {{"w", {8, 6, 2}}, {"b", {12}}}),
  };
}

std::vector<Network> norms_and_reductions() {
  return {
      after_linear("rms_norm", 8, "    y = torch.rms_norm(y, [8], self.w)\n", 8,
                   "plain 8 statistics", {{"w", {8}}}),
      after_stem("layer_norm_over_image", 8, "    y = torch.layer_norm(y, [8, 4, 4])\n", 8,
                 "plain 8 statistics"),
      after_stem("one_group", 8, "    y = torch.group_norm(y, 1, self.w, self.b)\n", 8,
                 "plain 8 statistics", {{"w", {8}}, {"b", {8}}}),
      after_stem("group_for_each", 8, "    y = torch.group_norm(y, 8, self.w, self.b)\n", 8,
                 "plain 8 exact", {{"w", {8}}, {"b", {8}}}),
      after_linear("largest_with_position", 8,
                   "    v, i = torch.max(y, 2, True)\n    y = y + v * i\n", 8, "none"),
      after_linear("largest", 8, "    v, i = torch.max(y, 2, True)\n    y = y + v\n", 8,
                   "plain 8 statistics"),
      after_linear("deviation", 8, "    y = y / (1.0 + y.var(2, True, True))\n", 8,
                   "plain 8 statistics"),
      after_linear("sum_of_everything", 8, "    y = y * torch.sigmoid(y.sum())\n", 8,
                   "plain 8 operand"),
      after_linear("quantiles_of_tokens", 8,
                   "    q = torch.quantile(y, self.q, 1, True)\n    y = y + q[0] * q[1]\n", 8,
                   "none", {buffer("q", {2})}),
      after_linear("sorted", 8, "    y = torch.sort(y, 2)[0]\n", 8, "none"),
      after_linear("best_tokens", 8, "    y = torch.topk(y, 2, 1)[0]\n", 8, "plain 8 exact"),
      after_linear("softmax_over_tokens", 8, "    y = torch.softmax(y, 1) * y\n", 8,
                   "plain 8 exact"),
      after_linear("similarity", 8,
                   "    s = torch.cosine_similarity(y, torch.linear(x, self.o), 2)\n"
                   "    y = y * s.unsqueeze(2)\n",
                   8, "plain 8 operand", {{"o", {8, 10}}}),
  };
}

std::vector<Network> choices_by_data() {
  const std::string index =
      "    i = torch.remainder(torch.floor(torch.abs(x[:, :, 0]) * 9), 5).to(4)\n";
  return {
      after_linear("embedding", 8, index + "    y = y + torch.embedding(self.table, i)\n", 8,
                   "plain 8 exact", {{"table", {5, 8}}}),
      after_linear("gather_of_tokens", 8,
                   index + "    y = torch.gather(y, 1, i.unsqueeze(2).expand([-1, -1, 8]))\n", 8,
                   "plain 8 exact"),
      after_linear("gather_of_channels", 8,
                   index + "    y = y + torch.gather(y, 2, i.unsqueeze(2))\n", 8, "none"),
      after_linear("index_add_of_tokens", 8,
                   "    y = torch.index_add(y, 1, self.index, torch.relu(y[:, :3]))\n", 8,
                   "plain 8 exact", {indices("index", {4, 0, 2})}),
      after_linear("masked_by_data", 8,
                   "    y = torch.where(x[:, :, :1] > 0, y, y * 0.5)\n"
                   "    y = torch.masked_fill(y, x[:, :, 1:2] > 0, 0.3)\n",
                   8, "plain 8 exact"),
      after_linear("masked_by_channels", 8, "    y = torch.masked_fill(y, y > 1.0, 0.3)\n", 8,
                   "plain 8 exact"),
      after_linear("tokens_by_constant", 8, "    y = y[:, self.index]\n", 8, "plain 8 exact",
                   {indices("index", {3, 1, 1})}),
      after_linear("tokens_written", 8,
                   "    y = y.clone()\n    y[:, 1] = torch.relu(y[:, 2])\n    y[:, 3:] = 0.5\n", 8,
                   "plain 8 exact"),
      after_linear("index_put_of_tokens", 8,
                   "    t = y.transpose(0, 1)\n"
                   "    y = torch.index_put(t, [self.index], t[:2]).transpose(0, 1)\n",
                   8, "plain 8 exact", {indices("index", {3, 1})}),
      after_linear("zeros_of_channels", 8,
                   "    y = torch.cat([y, torch.zeros([x.size(0), 5, 4], dtype=7)], 2)\n", 12,
                   "plain 8 exact"),
  };
}

TEST_P(OpForm, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Layout, OpForm, ::testing::ValuesIn(layouts()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Contraction, OpForm, ::testing::ValuesIn(contractions()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Norm, OpForm, ::testing::ValuesIn(norms_and_reductions()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Data, OpForm, ::testing::ValuesIn(choices_by_data()), name_of_pattern);

}  // namespace
}  // namespace cpd::testing
