#include <cpd/core/error.h>
#include <cpd/core/json.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

struct Options {
  double rate = 0.5;
  int64_t steps = 3;
  std::vector<std::string> names{};
  std::optional<int64_t> limit{};
};

Options read(const std::string& text) {
  const Json json = parse_json(text, "test.json");
  Options options;
  JsonObject(json, "training")
      .read("rate", options.rate)
      .read("steps", options.steps)
      .read("names", options.names)
      .read("limit", options.limit)
      .finish();
  return options;
}

std::string message_of(const std::string& text) {
  try {
    read(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(JsonObject, KeepsDefaultsOfKeysThatAreNotThere) {
  const Options options = read(R"({"steps": 7, "names": ["a", "b"], "limit": null})");
  EXPECT_EQ(options.rate, 0.5);
  EXPECT_EQ(options.steps, 7);
  EXPECT_EQ(options.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.limit, std::nullopt);
}

TEST(JsonObject, TakesWholeNumbersAsRealOnes) { EXPECT_EQ(read(R"({"rate": 2})").rate, 2.0); }

TEST(JsonObject, NamesTheUnknownKeyAndTheKnownOnes) {
  EXPECT_EQ(message_of(R"({"step": 7})"),
            "training.step: unknown key (did you mean 'steps'?); expected one of rate, steps, "
            "names, limit");
}

TEST(JsonObject, NamesThePathOfAWrongType) {
  EXPECT_EQ(message_of(R"({"steps": 1.5})"),
            "training.steps: the value is 1.5; expected a whole number");
  EXPECT_EQ(message_of(R"({"rate": "x"})"), "training.rate: the value is \"x\"; expected a number");
  EXPECT_EQ(message_of(R"({"names": ["a", 2]})"),
            "training.names[1]: the value is 2; expected a text");
  EXPECT_EQ(message_of(R"([])"), "training: the value is []; expected an object");
  EXPECT_EQ(message_of(R"({"steps": true})"),
            "training.steps: the value is true; expected a whole number");
}

TEST(JsonObject, RefusesNumbersThatDoNotFit) {
  EXPECT_NE(message_of(R"({"steps": 18446744073709551615})").find("a whole number"),
            std::string::npos);
  int small = 0;
  EXPECT_THROW(read_json(Json(int64_t{1} << 40), "x", small), Error);
  uint64_t positive = 0;
  EXPECT_THROW(read_json(Json(-1), "x", positive), Error);
}

TEST(JsonObject, MissingKeysAreErrorsWhereRequired) {
  const Json json = Json::object();
  int64_t value = 0;
  EXPECT_THROW(JsonObject(json, "a").require("b", value), Error);
}

TEST(ParseJson, NamesFileAndLine) {
  EXPECT_EQ(message_of("{\n\"rate\": \n}"),
            "test.json: not readable as JSON in line 3; expected valid JSON");
}

TEST(ReadJsonName, ListsTheNames) {
  enum class Colour { kRed, kGreen } colour = Colour::kRed;
  read_json_name(Json("green"), "c", {"red", "green"}, colour);
  EXPECT_EQ(colour, Colour::kGreen);
  try {
    read_json_name(Json("blue"), "c", {"red", "green"}, colour);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "c: the value is \"blue\"; expected one of red, green");
  }
}

TEST(CheckRange, AcceptsTheEnds) {
  EXPECT_NO_THROW(check_range("x", 0, 0, 1));
  EXPECT_NO_THROW(check_range("x", 1, 0, 1));
  EXPECT_THROW(check_range("x", 1.01, 0, 1), Error);
  EXPECT_THROW(check_range("x", std::numeric_limits<double>::quiet_NaN(), 0, 1), Error);
}

TEST(ParseJson, RefusesNumbersThatDoNotFit) {
  try {
    parse_json("{\"rate\": 1e400}", "method.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "method.json: a number is too large; expected numbers that fit in 64 bits");
  }
}

TEST(JsonText, PutsListsOfNumbersInOneLine) {
  const Json json = parse_json(R"({"a": {"of": 8, "kept": [[0, 2], [1, 3]]}, "b": [], "c": {},
                                   "d": [{"x": 1.5}, null]})",
                               "test");
  EXPECT_EQ(json_text(json),
            "{\n \"a\": {\n  \"of\": 8,\n  \"kept\": [[0,2],[1,3]]\n },\n \"b\": [],\n \"c\": {},\n"
            " \"d\": [\n  {\n   \"x\": 1.5\n  },\n  null\n ]\n}\n");
  EXPECT_EQ(parse_json(json_text(json), "test"), json);
  EXPECT_EQ(json_text(Json(3)), "3\n");
}

}  // namespace
}  // namespace cpd
