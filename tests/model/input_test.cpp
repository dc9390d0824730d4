#include <cpd/core/error.h>
#include <cpd/model/model.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string error_of(const std::string& text) {
  try {
    parse_input(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ParseInput, ReadsShapesTypesAndRanges) {
  EXPECT_EQ(parse_input("2,3,224,224").shape, (Shape{2, 3, 224, 224}));
  EXPECT_EQ(parse_input("7").dtype, DType::kFloat32);
  const InputSpec words = parse_input("1,128:int64:5-999");
  EXPECT_EQ(words.dtype, DType::kInt64);
  EXPECT_EQ(words.low, 5);
  EXPECT_EQ(words.high, 999);
  EXPECT_EQ(parse_input("1,128:int64").high, -1);
}

TEST(ParseInput, SaysWhatIsWrong) {
  for (const std::string text : {"", "2,,3", "2,x", "-2,3", "2.5", "2,3,", "2 3"}) {
    EXPECT_THAT(error_of(text), AllOf(HasSubstr("'" + text + "'"), HasSubstr("2,3,224,224")));
  }
  EXPECT_THAT(error_of("2,0,3"), HasSubstr("a size below 1"));
  EXPECT_THAT(error_of("2,3:float12"), HasSubstr("'float12' is no dtype"));
  EXPECT_THAT(error_of("2,3:int64:9"), HasSubstr("'9' is no range"));
  EXPECT_THAT(error_of("2,3:int64:9-3"), HasSubstr("an empty range"));
  EXPECT_THAT(error_of("2:int64:0-3:x"), HasSubstr("too many ':'"));
}

}  // namespace
}  // namespace cpd
