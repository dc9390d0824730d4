#include <ATen/core/symbol.h>
#include <cpd/comb/rule.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/runtime/operator.h>

namespace cpd {
namespace {

TEST(DefaultRules, AreForOperatorsOfLibTorch) {
  std::vector<std::string> unknown;
  for (const std::string& kind : default_rules().kinds()) {
    if (kind.rfind("aten::", 0) != 0) continue;
    if (torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString(kind)).empty()) {
      unknown.push_back(kind);
    }
  }
  EXPECT_THAT(unknown, testing::IsEmpty());
}

TEST(DefaultRules, GiveWayToLaterOnes) {
  Rules rules = default_rules();
  ASSERT_NE(rules.find("aten::relu"), nullptr);
  EXPECT_FALSE(rules.find("aten::relu")->layout);
  rules.add("aten::relu", {[](RuleContext&) {}, nullptr, true});
  EXPECT_TRUE(rules.find("aten::relu")->layout);
  EXPECT_EQ(rules.find("my::op"), nullptr);
}

}  // namespace
}  // namespace cpd
