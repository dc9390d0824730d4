#include <ATen/core/symbol.h>
#include <cpd/comb/rule.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <support/network.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <set>

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
  EXPECT_THAT(unknown, ::testing::IsEmpty());
}

TEST(DefaultRules, LockAndNameWhatTheyDoNotKnow) {
  testing::Network network;
  network.weights = {{"stem", {3, 10}}, {"head", {5, 3}}};
  network.source =
      "def forward(self, x):\n"
      "    y = torch.linear(x, self.stem)\n"
      "    y = torch.cross(y, torch.relu(y), 2)\n"
      "    return torch.linear(y, self.head)\n";
  network.inputs = {{2, 5, 10}};
  const Model model = testing::make_model(network, 1);
  const Combing combing = comb(model);
  EXPECT_EQ(testing::units_of(combing), "none");
  ASSERT_EQ(combing.unknown_ops.size(), 1U);
  EXPECT_THAT(combing.unknown_ops[0], ::testing::HasSubstr("cross"));
  const bool named = std::any_of(
      combing.locked.begin(), combing.locked.end(),
      [](const LockedDimension& l) { return l.reason.find("no rule for") != std::string::npos; });
  EXPECT_TRUE(named);
}

TEST(DefaultRules, SayWhyRowsAndColumnsThatAreReturnedStay) {
  testing::Network network;  // anchors x classes, as heads of detectors return them
  network.weights = {{"stem", {8, 3, 1, 1}}, {"head", {12, 8, 1, 1}}, {"bias", {12}}};
  network.source =
      "def forward(self, x):\n"
      "    y = torch.conv2d(torch.conv2d(x, self.stem), self.head, self.bias)\n"
      "    return y.view([y.size(0), -1, 3, 4, 4]).permute([0, 3, 4, 1, 2]).flatten(1, 3)\n";
  network.inputs = {{2, 3, 4, 4}};
  const Model model = testing::make_model(network, 1);
  const Combing combing = comb(model);
  EXPECT_EQ(testing::units_of(combing), "plain 8 exact");
  std::set<std::string> returned;
  for (const auto& locked : combing.locked) {
    if (locked.count == 12 && locked.reason == "the network returns it") {
      returned.insert(model.parameter(locked.parameter).name);
    }
  }
  EXPECT_EQ(returned, (std::set<std::string>{"bias", "head"}));
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
