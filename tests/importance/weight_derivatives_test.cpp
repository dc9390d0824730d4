#include <cpd/core/error.h>
#include <cpd/importance/weight_derivatives.h>
#include <dynamic_ops/fixture.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace cpd::testing {
namespace {

Source two_layers() {
  return {"two_layers",
          {{"a.weight", {3, 2}}, {"c.weight", {3, 3}}},
          "def forward(self, x):\n"
          "  return torch.linear(torch.relu(torch.linear(x, self.a.weight)), self.c.weight)\n",
          {2, 2}};
}

Source attention() {
  return {"attention",
          {{"q.weight", {4, 4}}, {"k.weight", {4, 4}}, {"v.weight", {4, 4}}, {"o.weight", {3, 4}}},
          "def forward(self, x):\n"
          "  b, t = x.size(0), x.size(1)\n"
          "  q = torch.linear(x, self.q.weight).view([b, t, 2, 2]).transpose(1, 2)\n"
          "  k = torch.linear(x, self.k.weight).view([b, t, 2, 2]).transpose(1, 2)\n"
          "  v = torch.linear(x, self.v.weight).view([b, t, 2, 2]).transpose(1, 2)\n"
          "  y = torch.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape([b, t, 4])\n"
          "  return torch.linear(y, self.o.weight)\n",
          {2, 3, 4}};
}

struct Combed {
  explicit Combed(const Source& source)
      : model(import_module(module_of(source), {example(source, 3)})), combing(comb(model)) {}
  at::Tensor value(const std::string& name) const { return model.find(name)->tensor.detach(); }
  Model model;
  Combing combing;
};

at::Tensor square_loss(const std::vector<at::Tensor>& outputs, const at::Tensor&) {
  return outputs.front().square().sum();
}

StatisticsOptions options_for(Needs needs) {
  StatisticsOptions options = statistics_for(needs);
  options.loss = square_loss;
  return options;
}

TEST(WeightDerivatives, GradientsAreThoseOfTheLoss) {
  const Combed net(two_layers());
  const at::Tensor x = example(two_layers(), 8, 5);
  const auto statistics =
      gather_statistics(net.model, net.combing, {{{x.narrow(0, 0, 3)}}, {{x.narrow(0, 3, 5)}}},
                        options_for(Needs::kGradients));
  const at::Tensor before = x.mm(net.value("a.weight").t());
  const at::Tensor outputs = torch::relu(before).mm(net.value("c.weight").t());
  const at::Tensor slope = (2 * outputs).mm(net.value("c.weight")) * before.gt(0);
  const at::Tensor expected = slope.t().mm(x).abs().sum(1);
  const Scores scores =
      score_gradient(net.combing.groups.front(), {net.model, net.combing, 0, &statistics});
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(scores[0][static_cast<size_t>(i)], expected[i].item<double>(), 1e-10);
  }
}

/// With one input and one output for each hidden channel the second derivative is diagonal, and one
/// product finds it.
TEST(WeightDerivatives, DiagonalsAreThoseOfTheLoss) {
  const Source source{"diagonal",
                      {{"a.weight", {3, 1}}, {"c.weight", {3, 3}}},
                      "def forward(self, x):\n"
                      "  y = torch.relu(torch.linear(x, self.a.weight))\n"
                      "  return torch.linear(y, self.c.weight)\n",
                      {2, 1}};
  const Combed net(source);
  {
    const torch::NoGradGuard no_grad;
    net.model.find("a.weight")->tensor.copy_(torch::tensor({{1.0}, {2.0}, {0.5}}, torch::kDouble));
    net.model.find("c.weight")
        ->tensor.copy_(torch::diag(torch::tensor({1.0, -2.0, 3.0}, torch::kDouble)));
  }
  const at::Tensor x = torch::tensor({{1.0}, {2.0}, {3.0}}, torch::kDouble);  // squares: 14
  const auto statistics =
      gather_statistics(net.model, net.combing, {{{x}}}, options_for(Needs::kHessianTrace));
  const Scores scores =
      score_hessian_trace(net.combing.groups.front(), {net.model, net.combing, 0, &statistics});
  // The loss is 14 (c a)^2 for each channel: 1/2 of 28 c^2, times a^2.
  EXPECT_NEAR(scores[0][0], 14 * 1 * 1, 1e-9);
  EXPECT_NEAR(scores[0][1], 14 * 4 * 4, 1e-9);
  EXPECT_NEAR(scores[0][2], 14 * 9 * 0.25, 1e-9);
}

TEST(WeightDerivatives, GoThroughAttention) {
  const Combed net(attention());
  const at::Tensor x = example(attention(), 4, 5);
  StatisticsOptions options = options_for(Needs::kHessianTrace);
  options.hessian_probes = 2;
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, options);
  for (const auto& unit : net.combing.groups) {
    EXPECT_NO_THROW(
        check_scores(unit, score_hessian_trace(unit, {net.model, net.combing, 0, &statistics})));
  }
}

TEST(WeightDerivatives, LeaveParametersAlone) {
  const Combed net(two_layers());
  const at::Tensor x = example(two_layers(), 8, 5);
  gather_statistics(net.model, net.combing, {{{x}}}, options_for(Needs::kHessianTrace));
  EXPECT_FALSE(net.model.find("a.weight")->tensor.grad().defined());
}

TEST(WeightDerivatives, AreMissedWhereTheyWereNotGathered) {
  const Combed net(two_layers());
  const at::Tensor x = example(two_layers(), 8, 5);
  const auto statistics =
      gather_statistics(net.model, net.combing, {{{x}}}, options_for(Needs::kStatistics));
  const ScoreContext context{net.model, net.combing, 0, &statistics};
  EXPECT_THROW(score_gradient(net.combing.groups.front(), context), Error);
  EXPECT_THROW(score_hessian_trace(net.combing.groups.front(), context), Error);
}

}  // namespace
}  // namespace cpd::testing
