#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <cpd/core/error.h>
#include <cpd/distill/distill_options.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

using ::testing::HasSubstr;

DistillOptions read(const std::string& text) {
  DistillOptions options;
  read_json(parse_json(text, "test"), "distill", options);
  return options;
}

std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(DistillOptions, AreReadFromJson) {
  const auto options = read(R"({"losses": ["dist",
      {"type": "kl", "weight": 0.5, "temperature": 2, "output": 1},
      {"type": "mse", "pairs": ["layer3", {"student": "a", "teacher": "b", "channel_dim": -1}]}],
      "label_weight": 0, "cache_mb": 20, "seed": 3})");
  ASSERT_EQ(options.losses.size(), 3);
  EXPECT_EQ(options.losses[0].loss.name, "dist");
  EXPECT_EQ(options.losses[1].weight, 0.5);
  EXPECT_EQ(options.losses[1].settings.temperature, 2);
  EXPECT_EQ(options.losses[1].output, 1);
  EXPECT_EQ(options.losses[2].pairs.at(0), (ValuePair{"layer3"}));
  EXPECT_EQ(options.losses[2].pairs.at(0).teacher_name(), "layer3");
  EXPECT_EQ(options.losses[2].pairs.at(1), (ValuePair{"a", "b", -1}));
  EXPECT_EQ(options.label_weight, 0);
  EXPECT_EQ(options.cache_mb, 20);
  EXPECT_EQ(options.seed, 3);
}

TEST(DistillOptions, RoundTrip) {
  const auto options = read(R"({"losses": [{"type": "dist", "between": 2, "within": 0.5},
      {"type": "cwd", "temperature": 3, "pairs": [{"student": "a", "teacher": "b"}]}, "hard"],
      "label_weight": 0.25})");
  const Json json = options;
  DistillOptions again;
  read_json(json, "distill", again);
  EXPECT_EQ(Json(again), json);
  EXPECT_EQ(again.losses.at(0).settings, options.losses.at(0).settings);
  EXPECT_EQ(again.losses.at(1).pairs, options.losses.at(1).pairs);
}

TEST(DistillOptions, AreValidAsTheyAre) { EXPECT_NO_THROW(DistillOptions().verify()); }

TEST(DistillOptions, ErrorsNameTheKey) {
  EXPECT_EQ(error_of(R"({"losses": ["kk"]})"),
            "distill.losses[0]: there is no loss 'kk' (did you mean 'kl'?); expected kl, dist, "
            "hard, cwd, mse");
  EXPECT_THAT(error_of(R"({"losses": [{"type": "soft"}]})"),
              HasSubstr("distill.losses[0].type: there is no loss 'soft'"));
  EXPECT_EQ(error_of(R"({"losses": []})"),
            "distill.losses: there is no loss; expected at least one");
  EXPECT_EQ(error_of(R"({"losses": ["kl", {"type": "kl", "temperature": 0}]})"),
            "distill.losses[1].temperature: the value is 0; expected at least 0.01");
  EXPECT_THAT(error_of(R"({"losses": [{"weight": -1}]})"),
              HasSubstr("distill.losses[0].weight: the value is -1"));
  EXPECT_THAT(error_of(R"({"losses": [{"type": "dist", "between": -1}]})"),
              HasSubstr("distill.losses[0].between: the value is -1"));
  EXPECT_THAT(error_of(R"({"losses": [{"output": -1}]})"), HasSubstr("distill.losses[0].output"));
  EXPECT_THAT(error_of(R"({"label_weight": "much"})"), HasSubstr("distill.label_weight: "));
  EXPECT_THAT(error_of(R"({"label_weight": -2})"), HasSubstr("distill.label_weight: "));
  EXPECT_THAT(error_of(R"({"cache_mb": -2})"), HasSubstr("distill.cache_mb: "));
  EXPECT_THAT(error_of(R"({"lables": 1})"), HasSubstr("distill.lables: unknown key"));
  EXPECT_THAT(error_of(R"({"losses": [{"type": "mse", "pairs": [{"teacher": "a"}]}]})"),
              HasSubstr("distill.losses[0].pairs[0].student: the key is missing"));
  EXPECT_THAT(error_of(R"({"losses": [{"type": "mse", "pairs": [""]}]})"),
              HasSubstr("distill.losses[0].pairs[0].student: no layer"));
}

TEST(DistillOptions, LossesTakeOnlyWhatTheyUse) {
  EXPECT_EQ(error_of(R"({"losses": [{"type": "mse", "temperature": 2}]})"),
            "distill.losses[0].temperature: the loss 'mse' does not take it; expected only with "
            "kl, dist, cwd");
  EXPECT_EQ(error_of(R"({"losses": [{"type": "kl", "within": 2}]})"),
            "distill.losses[0].within: the loss 'kl' does not take it; expected only with dist");
  EXPECT_EQ(error_of(R"({"losses": [{"type": "hard", "pairs": ["layer1"]}]})"),
            "distill.losses[0].pairs: the loss 'hard' does not take it; expected only with cwd, "
            "mse");
}

TEST(DistillLoss, MayBeOnesOwn) {
  DistillTerm term;
  term.loss = {"l1", [](const at::Tensor& s, const at::Tensor& t, const LossSettings&) {
                 return (s - t).abs().mean();
               }};
  term.pairs = {{"layer1"}};
  EXPECT_NO_THROW(term.verify("own"));
  term.settings.temperature = 1;
  EXPECT_THROW(term.verify("own"), Error);
}

}  // namespace
}  // namespace cpd
