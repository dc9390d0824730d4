#include "pattern.h"

namespace cpd::testing {
namespace {

/// What scripted programs do between their layers: control flow on shapes and flags, containers,
/// sizes as numbers, writes into views, casts.
class ProgramPattern : public Pattern {};

std::vector<Network> control_flow() {
  return {
      after_stem("branch_on_a_shape", 8,
                 "    if y.size(2) > 3 and y.dim() == 4:\n        y = torch.relu(y)\n"
                 "    else:\n        y = y.sum([1], True).expand([-1, 8, -1, -1])\n",
                 8, "plain 8 exact"),
      after_stem("branch_on_the_mode", 8,
                 "    if self.training:\n        y = y.softmax(1)\n    y = torch.relu(y)\n", 8,
                 "plain 8 exact"),
      after_stem("loop_until_small", 8,
                 "    while y.size(2) > 1:\n        y = torch.avg_pool2d(y, [2, 2])\n", 8,
                 "plain 8 exact"),
      after_stem("loop_over_weights", 8,
                 "    for w in [self.a, self.b, self.a]:\n"
                 "        y = torch.relu(torch.conv2d(y, w)) + y\n",
                 8, "plain 8 exact", {{"a", {8, 8, 1, 1}}, {"b", {8, 8, 1, 1}}}),
      after_stem("early_end_of_a_loop", 8,
                 "    for i in range(10):\n"
                 "        if i >= 2:\n            break\n"
                 "        if i == 0:\n            continue\n"
                 "        y = torch.conv2d(y, self.a) * float(i)\n",
                 8, "plain 8 exact; plain 8 exact", {{"a", {8, 8, 1, 1}}}),
      after_stem("assertion_and_message", 8,
                 "    assert y.size(1) == 8, \"eight channels\"\n    y = torch.relu(y)\n", 8,
                 "plain 8 exact"),
      after_stem("assertion_on_data", 8,
                 "    assert bool(torch.isfinite(y).all()), \"not finite\"\n"
                 "    y = torch.relu(y)\n",
                 8, "plain 8 exact"),
  };
}

std::vector<Network> containers() {
  return {
      after_stem(
          "dict_between_blocks", 8,
          "    features = {\"first\": y}\n"
          "    features[\"second\"] = torch.relu(torch.conv2d(features[\"first\"], self.a))\n"
          "    all = list(features.values())\n"
          "    y = torch.cat([all[1], all[0]], 1)\n",
          14, "plain 6 exact; plain 8 exact", {{"a", {6, 8, 1, 1}}}),
      after_stem("list_that_grows", 4,
                 "    all = [y]\n"
                 "    all.append(torch.conv2d(torch.cat(all, 1), self.a))\n"
                 "    all += [torch.conv2d(torch.cat(all, 1), self.b)]\n"
                 "    all.insert(0, all.pop())\n"
                 "    y = torch.cat(all[::-1], 1)\n",
                 9, "plain 2 exact; plain 3 exact; plain 4 exact",
                 {{"a", {3, 4, 1, 1}}, {"b", {2, 7, 1, 1}}}),
      after_stem("tuples_in_lists", 8,
                 "    all = [(y, 1.0), (torch.relu(y), 0.5)]\n"
                 "    s = torch.zeros_like(y)\n"
                 "    for t, w in all:\n        s += t * w\n"
                 "    y = s\n",
                 8, "plain 8 exact"),
      after_stem("pairs_by_zip", 8,
                 "    s = torch.conv2d(y, self.a)\n"
                 "    for i, (t, w) in enumerate(zip([y, s], [self.a, self.b])):\n"
                 "        y = y + torch.conv2d(torch.relu(t), w) * float(i + 1)\n",
                 8, "plain 8 exact", {{"a", {8, 8, 1, 1}}, {"b", {8, 8, 1, 1}}}),
      after_stem("nothing_or_a_tensor", 8,
                 "    skip: Optional[Tensor] = None\n"
                 "    for i in range(2):\n"
                 "        if skip is not None:\n            y = y + skip\n"
                 "        skip = torch.relu(y)\n",
                 8, "plain 8 exact"),
  };
}

std::vector<Network> sizes() {
  return {
      after_stem("size_in_arithmetic", 8, "    y = y / y.size(1) + float(y.size(1)) ** 0.5\n", 8,
                 "plain 8 exact"),
      after_stem("size_of_everything", 8, "    y = y * (y.numel() / y.size(0)) / 100.0\n", 8,
                 "plain 8 exact"),
      after_stem("size_left_open", 8, "    y = y.view([y.size(0), -1, 2, 8])\n", 8,
                 "plain 8 exact"),
      after_stem("size_left_open_beside_channels", 8, "    y = y.view([-1, 8, 16]).unsqueeze(3)\n",
                 8, "plain 8 exact"),
      after_stem("channels_halved_by_arithmetic", 8,
                 "    b, c, h, w = y.shape\n"
                 "    y = y.view([b, c // 2, 2, h, w]).sum(2) * float(c // 2)\n",
                 4, "columns 2 x4 operand; rows 4 exact"),
      after_stem("halves_by_size", 8,
                 "    c = y.size(1) // 2\n    y = torch.cat([torch.relu(y[:, c:]), y[:, :c]], 1)\n",
                 8, "plain 4 exact; plain 4 exact"),
      after_stem(
          "tensors_made_by_size", 8,
          "    z = torch.zeros([y.size(0), y.size(1), 1, 1], dtype=y.dtype, device=y.device)\n"
          "    o = torch.ones_like(y) * 0.5 + y.new_full([8, 1, 1], 0.25)\n"
          "    y = y * o + z\n",
          8, "plain 8 exact"),
      after_stem("expanded_to_the_shape_of_another", 8,
                 "    y = y * y.mean([2, 3], True).expand(y.shape) + self.row.expand_as(y)\n", 8,
                 "plain 8 exact", {{"row", {1, 8, 1, 1}}}),
      after_stem("flattened_with_its_batch", 8,
                 "    b, c, h, w = y.shape\n"
                 "    y = torch.relu(y.reshape([b * c, h, w])).view([b, c, h, w])\n",
                 8, "plain 8 exact"),
      after_stem("columns_for_each_pixel", 8,
                 "    b, c, h, w = y.shape\n"
                 "    y = torch.linear(y.permute([0, 2, 3, 1]).reshape([-1, c]), self.a)\n"
                 "    y = y.view([b, h, w, 6]).permute([0, 3, 1, 2])\n",
                 6, "plain 6 exact; plain 8 exact", {{"a", {6, 8}}}),
  };
}

std::vector<Network> writes() {
  return {
      after_stem("added_in_place", 8, "    y += torch.relu(y)\n    y *= 0.5\n    y.relu_()\n", 8,
                 "plain 8 exact"),
      after_stem("added_into_a_part", 8, "    y[:, 2:6] += 1.0\n    y[:, :, 1:3, 1:3] = 0.5\n", 8,
                 "plain 4 exact; plain 4 exact"),
      after_stem(
          "written_through_two_views", 8,
          "    z = y.view([-1, 2, 4, 4, 4])\n    z[:, 1].mul_(2.0)\n    z[:, :, :, 0] = 0.0\n", 8,
          "plain 4 exact"),
      after_stem("part_copied_from_another", 8,
                 "    z = torch.zeros_like(y)\n    z[:, :4] = y[:, 4:]\n    z[:, 4:] = y[:, :4]\n"
                 "    y = z\n",
                 8, ""),
      after_stem("filled_piece_by_piece", 6,
                 "    z = torch.zeros([y.size(0), 14, 4, 4], dtype=7)\n"
                 "    z[:, :6] = y\n    z[:, 6:] = torch.conv2d(x, self.other)\n    y = z\n",
                 14, "columns 6 x2 exact; columns 8 x2 exact", {{"other", {8, 3, 1, 1}}}),
      after_stem("one_channel_overwritten", 8, "    y[:, 3] = torch.sigmoid(y[:, 5])\n", 8,
                 "plain 6 exact"),
      after_stem("mask_with_one_channel_off", 8,
                 "    m = y > 0.5\n    m[:, 0] = False\n    y = y.masked_fill(m, 0.25)\n", 8,
                 "plain 7 exact"),
      after_stem("written_to_channels_by_numbers", 8,
                 "    z = torch.zeros_like(y)\n    z[:, [6, 1, 4]] = torch.conv2d(x, self.other)\n"
                 "    y = y + z\n",
                 8, "plain 3 exact; plain 5 exact", {{"other", {3, 3, 1, 1}}}),
      after_stem("added_to_channels_by_a_buffer", 8,
                 "    y = torch.index_add(y, 1, self.index, torch.conv2d(x, self.other))\n", 8,
                 "plain 3 exact; plain 5 exact",
                 {{"other", {3, 3, 1, 1}}, indices("index", {7, 2, 0})}),
      after_stem("copied_to_channels_by_a_buffer", 8,
                 "    y = torch.index_copy(y, -3, self.index, torch.relu(y)[:, 2:5])\n", 8, "",
                 {indices("index", {7, 2, 0})}),
      after_stem("channels_filled_with_a_number", 8,
                 "    y = torch.index_fill(y, 1, self.index, 0.5)\n    y[:, [3, 4]] = -1.0\n", 8,
                 "plain 8 exact", {indices("index", {7, 2, 0})}),
      after_stem("a_vector_written_to_channels", 8,
                 "    y[:, [3, 4]] += self.scales.view([2, 1, 1])\n", 8,
                 "plain 2 exact; plain 6 exact", {buffer("scales", {2})}),
      after_stem("written_where_large", 8, "    y[y > 1.0] = 1.0\n", 8, "plain 8 exact"),
      after_stem("images_filled_where_large", 8,
                 "    y[x.mean([1, 2, 3]) > 0.0] = torch.ones([1], dtype=y.dtype) * 0.5\n", 8,
                 "plain 8 exact"),
      after_stem("masked_fill_in_place", 8,
                 "    y.masked_fill_(y < -1.0, 0.25)\n    y.clamp_(max=2.0)\n", 8, "plain 8 exact"),
  };
}

std::vector<Network> casts_and_constants() {
  return {
      after_stem("back_and_forth_between_types", 8,
                 "    t = y.dtype\n    y = (y.float().double() * 0 + y).to(t).type_as(x)\n", 8,
                 "plain 8 exact"),
      after_stem("truth_as_a_number", 8,
                 "    y = y * (y > 0).to(y.dtype) + (y < -1).double() * 0.1\n", 8, "plain 8 exact"),
      after_stem("rounded", 8, "    y = torch.round(y * 4.0).to(4).to(7) / 4.0\n", 8,
                 "plain 8 exact"),
      after_stem(
          "buffer_indexed_by_a_constant", 8,
          "    y = y * self.scales[2].view([1, -1, 1, 1]) + self.scales[self.index][1].view([8, 1, "
          "1])\n",
          8, "plain 8 exact", {buffer("scales", {3, 8}), indices("index", {1, 0})}),
      // Made of constants alone, and then as large as the batch.
      after_stem("table_repeated_over_the_batch", 8,
                 "    t = self.table.view([1, 8, 1, 1])\n"
                 "    y = y + t.repeat([x.size(0), 1, 1, 1]) * t.expand([x.size(0), -1, -1, -1])\n",
                 8, "plain 8 exact", {buffer("table", {8})}),
      after_stem("constant_expanded_over_the_batch", 8,
                 "    t = torch.linspace(0.5, 2.0, 8).to(y.dtype).view([8, 1, 1])\n"
                 "    y = y * t.expand([y.size(0), 8, y.size(2), y.size(3)])\n",
                 8, "plain 8 exact"),
      after_stem("matrix_of_ones_added_to_each_image", 9,
                 "    t = torch.eye(3, dtype=y.dtype).view([1, 9]).repeat([y.size(0), 1])\n"
                 "    y = (y.mean([2, 3]) + t).view([-1, 9, 1, 1])\n",
                 9, "plain 9 exact"),
      after_stem("parameter_indexed_by_a_constant", 8,
                 "    y = y * self.scales[self.index].sum(0).view([1, -1, 1, 1])\n", 8,
                 "plain 8 exact", {{"scales", {3, 8}}, indices("index", {1, 0})}),
      after_stem("channels_by_a_mask", 8, "    y = y[:, self.mask > 0]\n", 5,
                 "plain 3 exact; plain 5 exact", {indices("mask", {1, 0, 1, 1, 0, 0, 1, 1})}),
      after_stem("permuted_by_a_buffer", 8,
                 "    y = torch.relu(y)[:, self.order]\n    y = y + torch.relu(y.flip([1]))\n", 8,
                 "", {indices("order", {3, 1, 0, 2, 7, 5, 4, 6})}),
      after_stem("channels_by_numbers", 8,
                 "    y = y[:, [6, 2, 3]] + y[:, torch.tensor([0, 1, 5])]\n", 3,
                 "plain 2 exact; plain 3 exact"),
      after_stem("diagonal_weight", 8,
                 "    y = torch.einsum(\"bchw,cd->bdhw\", [y, torch.diag(self.d)])\n", 8, "",
                 {{"d", {8}}}),
      after_stem("symmetric_weight", 8,
                 "    w = 0.5 * (self.w + self.w.t())\n"
                 "    y = torch.conv2d(y, w.view([8, 8, 1, 1]))\n",
                 8, "plain 8 exact", {{"w", {8, 8}}}),
      after_stem("clamped_and_masked_weight", 8,
                 "    y = torch.conv2d(y, torch.clamp(self.w, -0.5, 0.5) * self.mask)\n", 6,
                 "plain 6 exact; plain 8 exact",
                 {{"w", {6, 8, 3, 3}}, buffer("mask", {6, 8, 3, 3})}),
      after_stem(
          "weight_of_two_factors", 8,
          "    w = torch.matmul(self.u, self.v).view([6, 8, 1, 1])\n    y = torch.conv2d(y, w)\n",
          6, "plain 6 exact; plain 8 exact", {{"u", {6, 3}}, {"v", {3, 8}}}),
      after_stem("weights_stacked", 8,
                 "    w = torch.cat([self.a, self.b], 0)\n    y = torch.conv2d(y, w)\n", 7,
                 "plain 3 exact; plain 4 exact; plain 8 exact",
                 {{"a", {4, 8, 1, 1}}, {"b", {3, 8, 1, 1}}}),
      after_stem("half_of_a_weight", 8, "    y = torch.conv2d(y, self.w[:4])\n", 4,
                 "plain 2 exact; plain 4 exact; plain 8 exact", {{"w", {6, 8, 1, 1}}}),
  };
}

TEST_P(ProgramPattern, Holds) { EXPECT_EQ(check_network(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Flow, ProgramPattern, ::testing::ValuesIn(control_flow()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Container, ProgramPattern, ::testing::ValuesIn(containers()),
                         name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Size, ProgramPattern, ::testing::ValuesIn(sizes()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Write, ProgramPattern, ::testing::ValuesIn(writes()), name_of_pattern);
INSTANTIATE_TEST_SUITE_P(Constant, ProgramPattern, ::testing::ValuesIn(casts_and_constants()),
                         name_of_pattern);

}  // namespace
}  // namespace cpd::testing
