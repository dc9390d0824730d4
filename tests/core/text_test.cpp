#include <cpd/core/error.h>
#include <cpd/core/json.h>
#include <cpd/core/text.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

TEST(Matches, TakesStarsForAnythingAndDotsForThemselves) {
  EXPECT_TRUE(matches("layer1.*", "layer1.0.conv1"));
  EXPECT_TRUE(matches("layer1.*", "layer1."));
  EXPECT_FALSE(matches("layer1.*", "layer10.conv"));
  EXPECT_TRUE(matches("*conv?", "layer1.0.conv2"));
  EXPECT_FALSE(matches("*conv?", "layer1.0.conv"));
  EXPECT_TRUE(matches("*.*.conv1_(0, 8)*", "a.b.c.conv1_(0, 8)_out_1_in_1"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_TRUE(matches("**", ""));
}

TEST(Nearest, FindsMistypedNamesOnly) {
  const std::vector<std::string> known = {"momentum", "rate", "weight_decay"};
  EXPECT_EQ(nearest("momentun", known), "momentum");
  EXPECT_EQ(nearest("weightdecay", known), "weight_decay");
  EXPECT_EQ(nearest("nesterov", known), "");
  EXPECT_EQ(nearest("x", {"y"}), "");
  EXPECT_EQ(suggestion("rat", known), " (did you mean 'rate'?)");
  EXPECT_EQ(suggestion("nesterov", known), "");
}

TEST(Nearest, IsSaidForUnknownKeys) {
  const Json json = parse_json(R"({"divisr": 8})", "test.json");
  int64_t divisor = 1;
  JsonObject object(json, "mutator.unit");
  object.read("divisor", divisor);
  try {
    object.finish();
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("mutator.unit.divisr"), std::string::npos) << message;
    EXPECT_NE(message.find("did you mean 'divisor'?"), std::string::npos) << message;
  }
}

TEST(Numbers, HaveThreeDigitsAndAUnit) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(512), "512");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(999.7), "1.00 k");
  EXPECT_EQ(count_text(1000), "1.00 k");
  EXPECT_EQ(count_text(40.56e6), "40.6 M");
  EXPECT_EQ(count_text(1.8181e9), "1.82 G");
  EXPECT_EQ(count_text(9.996e6), "10.0 M");
  EXPECT_EQ(count_text(2.5e15), "2500 T");
  EXPECT_EQ(bytes_text(96), "96 B");
  EXPECT_EQ(bytes_text(1.2e9), "1.20 GB");
  EXPECT_EQ(seconds_text(0.0123), "12.3 ms");
  EXPECT_EQ(seconds_text(1.25), "1.25 s");
  EXPECT_EQ(seconds_text(2e-6), "2.00 us");
  EXPECT_EQ(percent_text(0.4867), "48.7 %");
}

TEST(Table, AlignsWordsLeftAndNumbersRight) {
  Table table({"layer", "MACs", "kind"});
  table.row({"conv1", "40.6 M", "conv"}).row({"fc", "512"});
  EXPECT_EQ(table.text(),
            "layer    MACs  kind\n"
            "conv1  40.6 M  conv\n"
            "fc        512\n");
  EXPECT_THROW(table.row({"a", "b", "c", "d"}), Error);
}

TEST(Table, CountsCharactersAndNotBytes) {
  EXPECT_EQ(Table().row({"ä", "x"}).row({"bb", "y"}).text(), "ä   x\nbb  y\n");
}

}  // namespace
}  // namespace cpd
