#include <cpd/core/error.h>
#include <cpd/plan/choice.h>
#include <cpd/plan/selection.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

TEST(NumberOf, RoundsRatiosDownButKeepsOne) {
  EXPECT_EQ(number_of(0.5, 64, "u"), 32);
  EXPECT_EQ(number_of(0.5, 7, "u"), 3);
  EXPECT_EQ(number_of(0.01, 7, "u"), 1);
  EXPECT_EQ(number_of(1.0, 7, "u"), 7);
  EXPECT_EQ(number_of(0.29, 100, "u"), 29) << "0.29 * 100 is 28.999999999999996";
  EXPECT_EQ(number_of(int64_t{5}, 7, "u"), 5);
}

TEST(NumberOf, RefusesWhatTheUnitDoesNotHave) {
  for (const Choice& choice : std::vector<Choice>{0.0, -0.5, 1.01, int64_t{0}, int64_t{8}}) {
    EXPECT_THROW(number_of(choice, 7, "unit_name"), Error);
  }
  try {
    number_of(int64_t{8}, 7, "unit_name");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("unit_name"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("1 to 7"));
  }
}

std::vector<int64_t> allowed(const Bounds& bounds) {
  std::vector<int64_t> numbers;
  for (int64_t k = 0; k <= bounds.of + 1; ++k) {
    if (bounds.allows(k)) numbers.push_back(k);
  }
  return numbers;
}

TEST(Bounds, CountTheDivisorInTheWidthOfTheLayer) {
  EXPECT_EQ(allowed({.of = 6, .divisor = 4}), (std::vector<int64_t>{4, 6}));
  EXPECT_EQ(allowed({.of = 6, .divisor = 4, .width = 2}), (std::vector<int64_t>{2, 4, 6}));
  EXPECT_EQ(allowed({.of = 6, .divisor = 4, .width = 4}), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Bounds, LeaveANarrowUnitWhole) {
  EXPECT_EQ(allowed({.of = 6, .divisor = 8}), (std::vector<int64_t>{6}));
}

TEST(Bounds, StepFromOneAllowedNumberToTheNext) {
  for (int64_t of = 1; of <= 12; ++of) {
    for (int64_t divisor = 1; divisor <= 5; ++divisor) {
      for (int64_t min = 1; min <= of; ++min) {
        const Bounds bounds{.of = of, .min = min, .divisor = divisor};
        const auto numbers = allowed(bounds);
        ASSERT_FALSE(numbers.empty());
        EXPECT_EQ(bounds.smallest(), numbers.front());
        for (size_t i = 0; i < numbers.size(); ++i) {
          const auto below = bounds.below(numbers[i]), above = bounds.above(numbers[i]);
          EXPECT_EQ(below.value_or(-1), i > 0 ? numbers[i - 1] : -1);
          EXPECT_EQ(above.value_or(-1), i + 1 < numbers.size() ? numbers[i + 1] : -1);
          EXPECT_EQ(bounds.at_most(numbers[i]), numbers[i]);
        }
      }
    }
  }
}

TEST(Bounds, ThatContradictEachOtherNameTheUnit) {
  for (const Bounds& bad :
       {Bounds{.of = 8, .min = 5, .max = 4}, Bounds{.of = 8, .max = 9},
        Bounds{.of = 8, .min = 3, .max = 3, .divisor = 2}, Bounds{.of = 8, .divisor = 0}}) {
    try {
      bad.verify("unit_name");
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("unit_name"));
    }
  }
}

TEST(Amounts, AreFractionsUpToOneAndAbsoluteAbove) {
  EXPECT_EQ(parse_amount("0.5"), Amount(0.5, true));
  EXPECT_EQ(parse_amount("1"), Amount(1, true));
  EXPECT_EQ(parse_amount("2000"), Amount(2000, false));
  EXPECT_EQ(parse_amount("2G"), Amount(2e9, false));
  EXPECT_EQ(parse_amount("0.5M"), Amount(5e5, false));
  EXPECT_EQ(parse_amount("100MB"), Amount(1e8, false));
  EXPECT_EQ(parse_amount("12ms"), Amount(0.012, false));
  EXPECT_EQ(parse_amount("0.5").absolute(80), 40);
  EXPECT_EQ(parse_amount("50").absolute(80), 50);
  for (const char* bad : {"", "x", "0", "-1", "nan", "inf", "1e999", "5X", "5 M", "0x10", "1,5"}) {
    EXPECT_THROW(parse_amount(bad), Error) << bad;
  }
}

TEST(Amounts, PrintAsTheyAreRead) {
  for (const char* text : {"0.5", "2000", "0.0125", "2500000000", "1"}) {
    EXPECT_EQ(to_text(parse_amount(text)), text);
  }
  const Amount latency = parse_amount("12ms");
  EXPECT_EQ(to_text(latency), "0.012s");
  EXPECT_EQ(parse_amount(to_text(latency)), latency);
}

TEST(TopChannels, BreakTiesByIndex) {
  EXPECT_EQ(top_channels({1, 3, 3, 2}, 1), (Indices{1}));
  EXPECT_EQ(top_channels({1, 3, 3, 2}, 3), (Indices{1, 2, 3}));
  EXPECT_EQ(top_channels({0, 0, 0}, 2), (Indices{0, 1}));
}

}  // namespace
}  // namespace cpd
