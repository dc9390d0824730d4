#include <cpd/core/error.h>
#include <cpd/importance/importance.h>
#include <dynamic_ops/fixture.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace cpd::testing {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Two writers of the same three channels, a batch norm, a reader.
Source sum_of_two() {
  return {"sum",
          {{"a.weight", {3, 2}},
           {"a.bias", {3}},
           {"b.weight", {3, 2}},
           {"n.weight", {3}},
           {"n.bias", {3}},
           {"n.running_mean", {3}},
           {"n.running_var", {3}},
           {"c.weight", {2, 3}}},
          "def forward(self, x):\n"
          "  y = torch.linear(x, self.a.weight, self.a.bias) + torch.linear(x, self.b.weight)\n"
          "  z = torch.batch_norm(y, self.n.weight, self.n.bias, self.n.running_mean, "
          "self.n.running_var, False, 0.1, 1e-5, False)\n"
          "  return torch.linear(torch.relu(z), self.c.weight)\n",
          {2, 2}};
}

/// Without a norm.
Source plain() {
  return {"plain",
          {{"a.weight", {3, 2}}, {"c.weight", {2, 3}}},
          "def forward(self, x):\n"
          "  return torch.linear(torch.relu(torch.linear(x, self.a.weight)), self.c.weight)\n",
          {2, 2}};
}

struct Combed {
  Model model;
  Combing combing;
  const ChannelGroup& unit() const { return combing.groups.front(); }
  ScoreContext context(uint64_t seed = 0) const { return {model, combing, seed}; }
};

Combed combed(const Source& source) {
  Model model = import_module(module_of(source), {example(source, 2)});
  Combing combing = comb(model);
  return {std::move(model), std::move(combing)};
}

void fill(Combed& net, const std::string& name, const std::vector<double>& values) {
  const torch::NoGradGuard no_grad;
  const at::Tensor& tensor = net.model.find(name)->tensor;
  tensor.copy_(torch::tensor(values, torch::kDouble).view(tensor.sizes()));
}

Combed known() {
  Combed net = combed(sum_of_two());
  fill(net, "a.weight", {1, -2, 3, 0, 0, 0});
  fill(net, "b.weight", {2, 0, 0, 4, 1, -1});
  fill(net, "a.bias", {100, 100, 100});
  fill(net, "n.weight", {-0.5, 0.25, 2});
  return net;
}

TEST(Magnitude, SumsOverAllWritersAndNoBias) {
  const Combed net = known();
  ASSERT_EQ(net.combing.groups.size(), 1);
  EXPECT_THAT(score_l1(net.unit(), net.context()),
              ElementsAre(ElementsAre(DoubleEq(5), DoubleEq(7), DoubleEq(2))));
  EXPECT_THAT(
      score_l2(net.unit(), net.context()),
      ElementsAre(ElementsAre(DoubleEq(3), DoubleEq(5), DoubleNear(std::sqrt(2.0), 1e-15))));
}

TEST(Magnitude, GeometricMedianSumsDistances) {
  // Slices over both writers: (1, -2, 2, 0), (3, 0, 0, 4), (0, 0, 1, -1).
  const Combed net = known();
  const double ab = std::sqrt(28.0), ac = std::sqrt(7.0), bc = std::sqrt(35.0);
  EXPECT_THAT(score_fpgm(net.unit(), net.context()),
              ElementsAre(ElementsAre(DoubleNear(ab + ac, 1e-9), DoubleNear(ab + bc, 1e-9),
                                      DoubleNear(ac + bc, 1e-9))));
}

TEST(Magnitude, BatchNormScale) {
  const Combed net = known();
  EXPECT_THAT(score_bn_scale(net.unit(), net.context()),
              ElementsAre(ElementsAre(DoubleEq(0.5), DoubleEq(0.25), DoubleEq(2))));
  const Combed without = combed(plain());
  try {
    score_bn_scale(without.unit(), without.context());
    FAIL() << "a unit without a batch norm got a score";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(without.unit().name));
  }
}

TEST(Magnitude, RandomScoresFollowTheSeed) {
  const Combed net = known();
  EXPECT_EQ(score_random(net.unit(), net.context(1)), score_random(net.unit(), net.context(1)));
  EXPECT_NE(score_random(net.unit(), net.context(1)), score_random(net.unit(), net.context(2)));
}

TEST(Importance, IsKnownByNameOrOnesOwn) {
  EXPECT_EQ(Importance("l2").name, "l2");
  try {
    const Importance unknown("l3");
    FAIL() << "an unknown importance was found";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("fpgm"));
  }
  const Combed net = known();
  const Importance own("index", [](const ChannelGroup& unit, const ScoreContext&) {
    return Scores(unit.blocks.size(), std::vector<double>(static_cast<size_t>(unit.of), 7.0));
  });
  EXPECT_THAT(own.score(net.unit(), net.context()), ElementsAre(ElementsAre(7, 7, 7)));
}

TEST(Importance, NormalisedScoresHaveAMeanOfOne) {
  EXPECT_THAT(normalised({{1, 2}, {3, 6}}),
              ElementsAre(ElementsAre(DoubleEq(1.0 / 3), DoubleEq(2.0 / 3)), ElementsAre(1, 2)));
  EXPECT_THAT(normalised({{0, 0}}), ElementsAre(ElementsAre(0, 0)));
}

}  // namespace
}  // namespace cpd::testing
