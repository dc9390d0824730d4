#include <ATen/ops/arange.h>
#include <cpd/core/error.h>
#include <cpd/dynamic_ops/channel_masks.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

/// One value with one array for each of some dimensions; entry i of an array has the form of a
/// primitive of its own, negative numbers are always kept.
struct Labelled {
  Graph graph;
  Combing combing;

  explicit Labelled(const Shape& shape) {
    Value value;
    value.kind = ValueKind::kInput;
    value.shape = shape;
    graph.add_value(value);
    combing.dims = {std::vector<int>(shape.size(), -1)};
    combing.forms = {{}};
  }

  void label(int dim, const Shape& extents, const std::vector<int>& primitives) {
    FormArray array;
    array.extents = extents;
    array.dim = dim;
    for (const int primitive : primitives) {
      while (combing.owner.size() <= static_cast<size_t>(std::max(primitive, 0))) {
        combing.forms.push_back({static_cast<Primitive>(combing.owner.size())});
        combing.owner.emplace_back(0, static_cast<int32_t>(combing.owner.size()));
      }
      array.entries.push_back(primitive < 0 ? 0 : primitive + 1);
    }
    combing.dims[0][static_cast<size_t>(dim)] = static_cast<int>(combing.arrays.size());
    combing.arrays.push_back(array);
  }

  Keep without(const std::vector<Primitive>& removed) const {
    Keep keep(combing);
    for (const Primitive primitive : removed) keep.set(primitive, false);
    return keep;
  }
};

at::Tensor counting(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return at::arange(count, at::TensorOptions().dtype(at::kDouble)).reshape(shape);
}

std::vector<double> numbers(const at::Tensor& tensor) {
  const auto flat = tensor.contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

TEST(ChannelMasks, PlainDimension) {
  Labelled value({2, 4});
  value.label(1, {1, 4}, {0, 1, 2, 3});
  ChannelMasks masks(value.graph, value.combing);
  EXPECT_TRUE(masks.whole());
  const auto x = counting({2, 4});
  EXPECT_TRUE(masks.masked(x, 0).is_same(x));

  masks.set_keep(value.without({1, 2}));
  EXPECT_TRUE(masks.cuts(0, 1));
  EXPECT_FALSE(masks.cuts(0, 0));
  EXPECT_EQ(masks.kept(0, 1), 2);
  EXPECT_EQ(masks.kept(0, 0), 2);
  EXPECT_EQ(numbers(masks.masked(x, 0, 0.5)), (std::vector<double>{0, .5, .5, 3, 4, .5, .5, 7}));
  EXPECT_EQ(numbers(masks.cut(x, 0)), (std::vector<double>{0, 3, 4, 7}));
  EXPECT_EQ(numbers(masks.spread(masks.cut(x, 0), 0)),
            (std::vector<double>{0, 0, 0, 3, 4, 0, 0, 7}));

  masks.set_keep(Keep(value.combing));
  EXPECT_TRUE(masks.whole());
  EXPECT_TRUE(masks.masked(x, 0).is_same(x));
}

TEST(ChannelMasks, EachRowKeepsColumnsOfItsOwn) {
  Labelled value({2, 3});  // rows 0 and 1, columns 0..2 in each
  value.label(1, {2, 3}, {0, 1, 2, 3, 4, 5});
  ChannelMasks masks(value.graph, value.combing);
  masks.set_keep(value.without({0, 5}));
  const auto x = counting({2, 3});
  EXPECT_EQ(masks.kept(0, 1), 2);
  EXPECT_EQ(masks.cut(x, 0).sizes().vec(), (Shape{2, 2}));
  EXPECT_EQ(numbers(masks.cut(x, 0)), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(numbers(masks.spread(masks.cut(x, 0), 0)), (std::vector<double>{0, 1, 2, 3, 4, 0}));
}

TEST(ChannelMasks, RowsComeFirstWhereverTheyStand) {
  Labelled value({3, 2});  // columns stand before their rows
  value.label(0, {3, 2}, {0, 3, 1, 4, 2, 5});
  ChannelMasks masks(value.graph, value.combing);
  masks.set_keep(value.without({0, 5}));
  const auto x = counting({3, 2});
  // Row 0 keeps 2 and 4, row 1 keeps 1 and 3.
  EXPECT_EQ(numbers(masks.cut(x, 0)), (std::vector<double>{2, 1, 4, 3}));
  EXPECT_EQ(numbers(masks.spread(masks.cut(x, 0), 0)), (std::vector<double>{0, 1, 2, 3, 4, 0}));
}

TEST(ChannelMasks, RowsGoTogetherWithTheirColumns) {
  Labelled value({3, 2});
  value.label(0, {3, 1}, {0, 1, 2});
  value.label(1, {3, 2}, {3, 4, 5, 6, 7, 8});
  ChannelMasks masks(value.graph, value.combing);
  masks.set_keep(value.without({1, 4, 5, 7}));  // row 1; one column of each row
  const auto x = counting({3, 2});
  EXPECT_EQ(masks.cut(x, 0).sizes().vec(), (Shape{2, 1}));
  EXPECT_EQ(numbers(masks.cut(x, 0)), (std::vector<double>{0, 5}));
}

TEST(ChannelMasks, BatchMergedWithHeadsFollowsTheBatch) {
  Labelled value({6, 5});  // a batch of 2 times 3 heads
  value.label(0, {6, 1}, {0, 1, 2, 0, 1, 2});
  ChannelMasks masks(value.graph, value.combing);
  masks.set_keep(value.without({1}));
  const auto x = counting({12, 1});
  EXPECT_EQ(numbers(masks.cut(x, 0)), (std::vector<double>{0, 2, 3, 5, 6, 8, 9, 11}));
  EXPECT_EQ(masks.spread(masks.cut(x, 0), 0).sizes().vec(), (Shape{12, 1}));
  EXPECT_THROW(masks.masked(counting({7, 1}), 0), Error);
}

}  // namespace
}  // namespace cpd
