#include <cpd/core/error.h>
#include <cpd/units/mutable_channel_unit.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace cpd::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChannelGroup group_of(int64_t of, int64_t blocks = 1, UnitKind kind = UnitKind::kPlain) {
  ChannelGroup group;
  group.name = "layer1.0.conv1_(0, " + std::to_string(of) + ")_out_2_in_1";
  group.kind = kind;
  group.of = of;
  Primitive next = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    group.blocks.emplace_back(static_cast<size_t>(of));
    std::iota(group.blocks.back().begin(), group.blocks.back().end(), next);
    next += static_cast<Primitive>(of);
  }
  return group;
}

std::vector<std::vector<double>> equal_scores(const MutableChannelUnit& unit) {
  return {unit.channels().size(),
          std::vector<double>(static_cast<size_t>(unit.num_channels()), 1.0)};
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(MutableChannel, KeepsWhatItIsTold) {
  MutableChannel channel(5);
  EXPECT_EQ(channel.activated_channels(), 5);
  channel.keep({1, 4});
  EXPECT_THAT(channel.current_mask(), ElementsAre(false, true, false, false, true));
  EXPECT_THAT(channel.kept(), ElementsAre(1, 4));
  EXPECT_THROW(channel.keep({}), Error);
  EXPECT_THAT(message_of([&] { channel.keep({5}); }), HasSubstr("0 to 4"));
}

TEST(MutableChannelUnit, ReadsBackEveryRatioThatItGives) {
  for (int64_t of : {1, 2, 7, 48, 49, 100, 341, 1000, 4096}) {
    MutableChannelUnit unit(group_of(of), {});
    for (int64_t k = 1; k <= of; k += 1 + of / 97) {
      unit.set_choice(k, equal_scores(unit));
      EXPECT_EQ(unit.activated_channels(), k);
      EXPECT_EQ(unit.number_of(unit.current_choice()), k) << k << " of " << of;
    }
  }
}

TEST(MutableChannelUnit, NeverLeavesItsBounds) {
  for (int64_t of : {1, 3, 8, 10, 17, 64}) {
    for (int64_t divisor : {1, 2, 3, 8, 32}) {
      const MutableChannelUnit unit(group_of(of), {.divisor = divisor});
      for (int64_t k = 1; k <= of; ++k) {
        const int64_t number = unit.number_of(k);
        EXPECT_TRUE(number == of || number % divisor == 0);
        EXPECT_TRUE(number >= 1 && number <= of);
        // Rounds down, but never below the smallest that is allowed.
        EXPECT_TRUE(number <= k || number == std::min(divisor, of) || k < divisor);
      }
    }
  }
}

TEST(MutableChannelUnit, CountsTheWidthThatALayerSees) {
  const MutableChannelUnit columns(group_of(6, 4, UnitKind::kColumns), {.divisor = 8});
  EXPECT_EQ(columns.number_of(int64_t{5}), 4);  // 16 of 24 wide
  EXPECT_EQ(columns.number_of(int64_t{1}), 2);  // 8 wide
  const MutableChannelUnit rows(group_of(6, 1, UnitKind::kRows), {.divisor = 8});
  EXPECT_EQ(rows.number_of(int64_t{5}), 5);
  const MutableChannelUnit pairs(group_of(6, 1, UnitKind::kRows), {.row_divisor = 2});
  EXPECT_EQ(pairs.number_of(int64_t{5}), 4);
}

TEST(MutableChannelUnit, KeepsAsManyOfEachBlock) {
  MutableChannelUnit unit(group_of(4, 2, UnitKind::kColumns), {});
  unit.set_choice(0.5, {{4, 3, 2, 1}, {1, 2, 3, 4}});
  EXPECT_THAT(unit.channels()[0].kept(), ElementsAre(0, 1));
  EXPECT_THAT(unit.channels()[1].kept(), ElementsAre(2, 3));
  EXPECT_THAT(message_of([&] { unit.set_choice(0.5, {{1, 2, 3, 4}}); }), HasSubstr("2"));
  EXPECT_THAT(message_of([&] { unit.set_kept({{0}}); }), HasSubstr("one per block"));
}

TEST(MutableChannelUnit, SamplesWhatItsModeAllows) {
  std::mt19937_64 random(1);
  const MutableChannelUnit ratio(group_of(8), {.min_ratio = 0.5});
  const MutableChannelUnit number(group_of(8), {.choice_mode = ChoiceMode::kNumber, .divisor = 4});
  std::set<Choice> ratios, numbers;
  for (int i = 0; i < 100; ++i) {
    ratios.insert(ratio.sample_choice(random));
    numbers.insert(number.sample_choice(random));
  }
  EXPECT_EQ(ratios, (std::set<Choice>{0.5, 0.625, 0.75, 0.875, 1.0}));
  EXPECT_EQ(numbers, (std::set<Choice>{int64_t{4}, int64_t{8}}));
}

TEST(MutableChannelUnit, SaysWhyItIsNotMutable) {
  ChannelGroup group = group_of(8);
  EXPECT_TRUE(MutableChannelUnit(group, {}).is_mutable());
  EXPECT_THAT(MutableChannelUnit(group, {.frozen = true}).reason(), HasSubstr("frozen"));
  group.offered = false;
  group.reason = "the network returns it";
  const MutableChannelUnit unit(group, {});
  EXPECT_EQ(unit.reason(), group.reason);
  EXPECT_THAT(unit.text(), HasSubstr("not mutable: the network returns it"));
}

TEST(MutableChannelUnit, IsMeantByNameLayerAndRole) {
  ChannelGroup group = group_of(8);
  group.role = "heads";
  for (const char* pattern :
       {"layer1.0.conv1", "layer1.*", "*_out_2_in_1", "heads", "heads.*", "heads.layer1*"}) {
    EXPECT_TRUE(means(pattern, group)) << pattern;
  }
  for (const char* pattern : {"layer1.0", "head", "mlp.*", "layer2.*", ""}) {
    EXPECT_FALSE(means(pattern, group)) << pattern;
  }
}

}  // namespace
}  // namespace cpd::testing
