#include "pattern.h"

namespace cpd::testing {
namespace {

class LayoutPattern : public Pattern {};

std::vector<Network> selections() {
  return {
      after_stem("concatenation", 8, "    y = torch.cat([y, torch.conv2d(x, self.other)], 1)\n", 14,
                 "plain 6 exact; plain 8 exact", {{"other", {6, 3, 1, 1}}}),
      after_stem("concatenation_with_itself", 8, "    y = torch.cat([y, y], 1)\n", 16,
                 "plain 8 exact"),
      after_stem("slice_of_concatenation", 8,
                 "    y = torch.cat([y, torch.conv2d(x, self.other)], 1)[:, 4:10]\n", 6,
                 "plain 2 exact; plain 4 exact; plain 4 exact; plain 4 exact",
                 {{"other", {6, 3, 1, 1}}}),
      after_stem("negative_slice", 8, "    y = y[:, -6:-2]\n", 4, "plain 4 exact; plain 4 exact"),
      after_stem("split_in_two", 10,
                 "    a, b = torch.split(y, [3, 7], 1)\n    y = torch.cat([torch.relu(b), a], 1)\n",
                 10, "plain 3 exact; plain 7 exact"),
      after_stem("c2f", 16,
                 "    a, b = torch.chunk(y, 2, 1)\n"
                 "    y = torch.cat([a, b, b + torch.conv2d(b, self.inner)], 1)\n",
                 24, "plain 8 exact; plain 8 exact", {{"inner", {8, 8, 1, 1}}}),
      after_stem("strided_slice", 12, "    y = y[:, ::2]\n", 6, "plain 6 exact; plain 6 exact"),
      after_stem("flip_and_add", 12, "    y = y.flip([1]) + y\n", 12, "plain 6 exact"),
      after_stem("flip_and_roll", 12, "    y = y.flip([1]).roll([5], [1])\n", 12, "plain 12 exact"),
      after_stem("index_by_constant", 8, "    y = y[:, self.index]\n", 6,
                 "plain 3 exact; plain 4 exact", {indices("index", {7, 1, 1, 0, 3, 5})}),
      after_stem("index_select", 8, "    y = torch.index_select(y, 1, self.index)\n", 4,
                 "plain 4 exact; plain 4 exact", {indices("index", {6, 4, 2, 0})}),
      after_stem("write_in_place", 12,
                 "    y = y.clone()\n"
                 "    y[:, :3] = torch.conv2d(y[:, :3], self.inner)\n",
                 12, "columns 3 x2 exact; plain 9 exact", {{"inner", {3, 3, 1, 1}}}),
      after_stem("selected_channel", 8, "    y = y * torch.sigmoid(y.select(1, 3).unsqueeze(1))\n",
                 8, "plain 7 exact"),
      after_stem("narrow", 10, "    y = torch.narrow(y, 1, 3, 5)\n", 5,
                 "plain 5 exact; plain 5 exact"),
  };
}

std::vector<Network> rearrangements() {
  return {
      after_stem("pixel_shuffle", 12, "    y = torch.pixel_shuffle(y, 2)\n", 3, "rows 3 exact"),
      after_stem("pixel_unshuffle", 3, "    y = torch.pixel_unshuffle(y, 2)\n", 12,
                 "plain 3 exact"),
      after_stem("maxout", 12, "    y = y.view([-1, 6, 2, 4, 4]).amax(2)\n", 6,
                 "columns 2 x6 statistics; rows 6 exact"),
      after_stem("capsules", 48,
                 "    z = y.view([-1, 8, 6, 4, 4])\n"
                 "    z = z / (torch.linalg_vector_norm(z, 2, [2], True) + 1.0)\n"
                 "    y = z.view([-1, 48, 4, 4])\n",
                 48, "columns 6 x8 operand; rows 8 exact"),
      after_stem("stack_and_mean", 8,
                 "    y = torch.stack([y, torch.conv2d(x, self.other)], 1).mean(1)\n", 8,
                 "plain 8 exact", {{"other", {8, 3, 1, 1}}}),
      after_stem("stack_and_flatten", 8,
                 "    y = torch.stack([y, torch.conv2d(x, self.other)], 1).flatten(1, 2)\n", 16,
                 "columns 8 x2 exact", {{"other", {8, 3, 1, 1}}}),
      after_stem("interleaving_stack", 8,
                 "    y = torch.stack([y, torch.conv2d(x, self.other)], 2).flatten(1, 2)\n", 16,
                 "plain 8 exact", {{"other", {8, 3, 1, 1}}}),
      after_stem("sum_over_rows", 12, "    y = y.view([-1, 4, 3, 4, 4]).sum(1)\n", 3,
                 "plain 3 exact; rows 4 operand"),
      after_stem("repeated", 6, "    y = y.repeat([1, 2, 1, 1])\n", 12, "plain 6 exact"),
      after_stem("repeat_interleave", 6, "    y = torch.repeat_interleave(y, 2, 1)\n", 12,
                 "plain 6 exact"),
      after_stem("padded_and_cut", 8,
                 "    y = torch.constant_pad_nd(y, [0, 0, 0, 0, 2, 0], 0.5)\n"
                 "    y = torch.constant_pad_nd(y, [0, 0, 0, 0, -3, -1], 0)\n",
                 6, "plain 2 exact; plain 6 exact"),
      after_stem("channel_sum", 8,
                 "    y = torch.cat([y, y.sum([1], True)], 1)[:, :8] * y.sum([1], True)\n", 8,
                 "plain 8 operand"),
      after_stem("channel_norm", 8,
                 "    y = y / (torch.linalg_vector_norm(y, 2, [1], True) + 1.0)\n", 8,
                 "plain 8 operand"),
      after_stem("softmax_over_channels", 8, "    y = torch.softmax(y, 1)\n", 8, "none"),
      after_stem("cumsum_over_channels", 8, "    y = torch.cumsum(y, 1)\n", 8, "none"),
      after_stem("reflected", 8,
                 "    y = torch.reflection_pad2d(y, [1, 1, 1, 1])\n"
                 "    y = torch.max_pool2d(y, [2, 2])\n"
                 "    y = torch.upsample_nearest2d(y, [6, 6])\n",
                 8, "plain 8 exact"),
      after_stem("im2col", 4,
                 "    y = torch.im2col(y, [3, 3], [1, 1], [1, 1], [1, 1]).view([-1, 36, 4, 4])\n",
                 36, "plain 4 exact"),
      after_stem("bilinear", 8,
                 "    a = y.flatten(2)\n    b = torch.conv2d(x, self.other).flatten(2)\n"
                 "    y = torch.bmm(a, b.transpose(1, 2)).flatten(1).unsqueeze(2).unsqueeze(3)\n",
                 48, "plain 6 exact; plain 8 exact", {{"other", {6, 3, 1, 1}}}),
      after_stem("squeeze_of_everything", 8,
                 "    y = y.mean([2, 3], True).squeeze().unsqueeze(2).unsqueeze(3)\n", 8,
                 "plain 8 exact"),
  };
}

TEST_P(LayoutPattern, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Selection, LayoutPattern, ::testing::ValuesIn(selections()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Rearrangement, LayoutPattern, ::testing::ValuesIn(rearrangements()),
                         name_of_pattern);

}  // namespace
}  // namespace cpd::testing
