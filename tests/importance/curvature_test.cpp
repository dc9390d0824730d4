#include <cpd/core/error.h>
#include <cpd/importance/curvature.h>
#include <cpd/importance/reader_columns.h>
#include <dynamic_ops/fixture.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

Source two_layers() {
  return {"two_layers",
          {{"a.weight", {4, 3}}, {"c.weight", {2, 4}}},
          "def forward(self, x):\n"
          "  return torch.linear(torch.relu(torch.linear(x, self.a.weight)), self.c.weight)\n",
          {2, 3}};
}

/// One unit read by a convolution with a bias and by one before a batch norm; grouped further on.
Source convolutions() {
  return {"convolutions",
          {{"a.weight", {8, 2, 1, 1}},
           {"b.weight", {8, 8, 3, 3}},
           {"b.bias", {8}},
           {"g.weight", {8, 4, 3, 3}},
           {"n.weight", {8}},
           {"n.bias", {8}},
           {"n.running_mean", {8}},
           {"n.running_var", {8}},
           {"c.weight", {3, 8}}},
          "def forward(self, x):\n"
          "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
          "  y = torch.relu(torch.conv2d(y, self.b.weight, self.b.bias, [1, 1], [1, 1]))\n"
          "  y = torch.conv2d(y, self.g.weight, None, [1, 1], [1, 1], [1, 1], 2)\n"
          "  y = torch.batch_norm(y, self.n.weight, self.n.bias, self.n.running_mean,\n"
          "                       self.n.running_var, False, 0.1, 1e-5, False)\n"
          "  return torch.linear(torch.relu(y).mean([2, 3]), self.c.weight)\n",
          {2, 2, 5, 5}};
}

struct Combed {
  explicit Combed(const Source& from)
      : source(from),
        model(import_module(module_of(source), {example(source, 3)})),
        combing(comb(model)) {}

  at::Tensor value(const std::string& name) const { return model.find(name)->tensor.detach(); }
  const ChannelGroup& unit(const std::string& layer) const {
    for (const auto& group : combing.groups) {
      if (group.name.rfind(layer + "_", 0) == 0) return group;
    }
    throw std::runtime_error("no unit of " + layer);
  }
  const LayerStatistics& layer(const Statistics& statistics, const std::string& weight) const {
    for (const auto& [op, layer] : statistics.layers) {
      if (model.graph.op(op).tensor("weight") == model.find(weight)->value) return layer;
    }
    throw std::runtime_error("no statistics of " + weight);
  }
  ScoreContext context(const Statistics& statistics) const {
    return {model, combing, 0, &statistics};
  }

  Source source;
  Model model;
  Combing combing;
};

at::Tensor square_loss(const std::vector<at::Tensor>& outputs, const at::Tensor&) {
  return outputs.front().square().sum();
}

StatisticsOptions layers_too() {
  StatisticsOptions options = statistics_for(Needs::kLayers);
  options.loss = square_loss;
  return options;
}

TEST(LayerStatistics, AreThoseWorkedOutByHand) {
  const Combed net(two_layers());
  const at::Tensor x = example(net.source, 6, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  const LayerStatistics& layer = net.layer(statistics, "c.weight");
  const at::Tensor hidden = torch::relu(x.mm(net.value("a.weight").t()));
  const at::Tensor gradient = 2 * hidden.mm(net.value("c.weight").t());
  EXPECT_LT(error_of(layer.inputs[0], hidden.t().mm(hidden) / 6), 1e-12);
  EXPECT_LT(error_of(layer.means[0], hidden.mean(0)), 1e-12);
  EXPECT_LT(error_of(layer.gradients[0], gradient.t().mm(gradient) / 6), 1e-12);
}

TEST(LayerStatistics, OfConvolutionsAreThoseOfUnfoldedPatches) {
  const Combed net(convolutions());
  const at::Tensor x = example(net.source, 4, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  const at::Tensor read = torch::relu(torch::conv2d(x, net.value("a.weight")));
  const at::Tensor patches = torch::nn::functional::unfold(
                                 read, torch::nn::functional::UnfoldFuncOptions({3, 3}).padding(1))
                                 .transpose(1, 2)
                                 .reshape({-1, 72});
  const LayerStatistics& layer = net.layer(statistics, "b.weight");
  EXPECT_LT(error_of(layer.inputs[0], patches.t().mm(patches) / patches.size(0)), 1e-12);
  EXPECT_EQ(layer.gradients.sizes(), at::IntArrayRef({1, 8, 8}));
  EXPECT_EQ(net.layer(statistics, "g.weight").inputs.sizes(), at::IntArrayRef({2, 36, 36}));
}

TEST(LayerStatistics, DoNotDependOnTheSplitIntoBatches) {
  const Combed net(convolutions());
  const at::Tensor x = example(net.source, 12, 5);
  StatisticsOptions options = statistics_for(Needs::kLayers);
  options.rows = 60;  // five of 25 positions of a sample
  const auto one = gather_statistics(net.model, net.combing, {{{x}}}, options);
  const auto many = gather_statistics(net.model, net.combing,
                                      {{{x.narrow(0, 0, 5)}}, {{x.narrow(0, 5, 7)}}}, options);
  ASSERT_EQ(one.layers.size(), 3);
  for (const auto& [op, layer] : one.layers) {
    EXPECT_LT(error_of(many.layers.at(op).inputs, layer.inputs), 1e-12);
    EXPECT_LT(error_of(many.layers.at(op).gradients, layer.gradients), 1e-9);
  }
  for (const auto& [name, unit] : one.units) {
    for (size_t i = 0; i < unit.gate_square[0].size(); ++i) {
      const double expected = unit.gate_square[0][i];
      EXPECT_NEAR(many.units.at(name).gate_square[0][i], expected, 1e-9 * expected);
    }
  }
}

TEST(ReaderColumns, KnowTheGroupsOfConvolutions) {
  const Combed net(convolutions());
  const auto of_b = reader_columns(net.model, net.combing, net.unit("b"));
  ASSERT_EQ(of_b.size(), 2);  // both groups of g
  const ChannelGroup& unit = net.unit("b");
  ASSERT_EQ(unit.blocks.size() * static_cast<size_t>(unit.of), 8);
  for (size_t group = 0; group < 2; ++group) {
    ASSERT_EQ(of_b[group].channel_of.size(), 36);
    for (size_t column = 0; column < 36; ++column) {
      EXPECT_EQ(of_b[group].channel_of[column], static_cast<int64_t>(4 * group + column / 9));
    }
  }
}

TEST(ReaderColumns, KnowKernelsThatCoverTheirInput) {
  const Combed net({"covered",
                    {{"a.weight", {8, 3}}, {"c.weight", {4, 1, 2, 8}}},
                    "def forward(self, x):\n"
                    "  y = torch.linear(x, self.a.weight).unsqueeze(1)\n"
                    "  return torch.conv2d(y, self.c.weight)\n",
                    {2, 5, 3}});
  const auto readers = reader_columns(net.model, net.combing, net.unit("a"));
  ASSERT_EQ(readers.size(), 1);
  ASSERT_EQ(readers[0].channel_of.size(), 16);
  for (size_t column = 0; column < 16; ++column) {
    EXPECT_EQ(readers[0].channel_of[column], static_cast<int64_t>(column % 8));
  }
}

/// Least error of the reader's outputs without one channel, the ridge included, by QR.
double error_without(const at::Tensor& inputs, const at::Tensor& weight, int64_t channel) {
  const auto rows = static_cast<double>(inputs.size(0));
  const double strength = kObsDamping * inputs.square().mean().item<double>();
  const at::Tensor eye = torch::eye(weight.size(1), torch::kDouble) * std::sqrt(strength);
  const at::Tensor all = torch::cat({inputs / std::sqrt(rows), eye});
  std::vector<int64_t> in;
  for (int64_t i = 0; i < weight.size(1); ++i) {
    if (i != channel) in.push_back(i);
  }
  const at::Tensor target = all.mm(weight.t());
  const auto [q, r] = torch::linalg_qr(all.index_select(1, torch::tensor(in)));
  return (target - q.mm(q.t().mm(target))).square().sum().item<double>();
}

TEST(Obs, ScoresTheErrorThatARefitLeaves) {
  const Combed net(two_layers());
  const at::Tensor x = example(net.source, 40, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  const Scores scores = score_obs(net.unit("a"), net.context(statistics));
  const at::Tensor hidden = torch::relu(x.mm(net.value("a.weight").t()));
  double least = std::numeric_limits<double>::infinity();
  int64_t cheapest = -1;
  for (int64_t channel = 0; channel < 4; ++channel) {
    const double error = error_without(hidden, net.value("c.weight"), channel);
    if (error < least) cheapest = channel;
    least = std::min(least, error);
  }
  const auto lowest = std::min_element(scores[0].begin(), scores[0].end());
  EXPECT_EQ(lowest - scores[0].begin(), cheapest);
  EXPECT_NEAR(*lowest, least, 1e-8 * least);
}

TEST(Kfac, IsInUnitsOfTheLoss) {
  const Combed net(two_layers());
  const at::Tensor x = example(net.source, 40, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  const Scores scores = score_kfac(net.unit("a"), net.context(statistics));
  const at::Tensor hidden = torch::relu(x.mm(net.value("a.weight").t()));
  const at::Tensor weight = net.value("c.weight");
  const at::Tensor delta = 2 * hidden.mm(weight.t());
  const at::Tensor gram = hidden.t().mm(hidden) / 40, gradients = delta.t().mm(delta) / 40;
  // Removal alone: one half of the mean square of the gate's derivative, and what K-FAC makes of
  // it.
  const at::Tensor gates = hidden * delta.mm(weight);
  const double exact = 0.5 * gates.square().sum().item<double>() / 40;
  double kfac = 0;
  for (int64_t c = 0; c < 4; ++c) {
    const at::Tensor column = weight.select(1, c);
    kfac += 0.5 * (gram[c][c] * column.dot(gradients.mv(column))).item<double>();
  }
  const at::Tensor inverse = torch::linalg_inv(gram + torch::eye(4, torch::kDouble) * kObsDamping *
                                                          gram.diagonal().mean());
  double least = std::numeric_limits<double>::infinity();
  for (int64_t c = 0; c < 4; ++c) {
    const at::Tensor column = weight.select(1, c);
    const double loss =
        0.5 * (column.dot(gradients.mv(column)) / inverse[c][c]).item<double>() * exact / kfac;
    least = std::min(least, loss);
  }
  EXPECT_NEAR(*std::min_element(scores[0].begin(), scores[0].end()), least, 1e-6 * least);
}

TEST(Obd, IsTheDiagonalForm) {
  const Combed net(two_layers());
  const at::Tensor x = example(net.source, 40, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  const Scores scores = score_obd(net.unit("a"), net.context(statistics));
  const at::Tensor hidden = torch::relu(x.mm(net.value("a.weight").t()));
  const at::Tensor delta = 2 * hidden.mm(net.value("c.weight").t());
  const at::Tensor h = delta.square().mean(0).outer(hidden.square().mean(0));
  const at::Tensor expected = 0.5 * (h * net.value("c.weight").square()).sum(0);
  for (int64_t c = 0; c < 4; ++c) {
    EXPECT_NEAR(scores[0][static_cast<size_t>(c)], expected[c].item<double>(), 1e-12);
  }
}

TEST(Flap, IsVarianceTimesNorm) {
  const Combed net(two_layers());
  const at::Tensor x = example(net.source, 40, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  const Scores scores = score_flap(net.unit("a"), net.context(statistics));
  const at::Tensor hidden = torch::relu(x.mm(net.value("a.weight").t()));
  const at::Tensor expected = hidden.var(0, false) * net.value("c.weight").square().sum(0);
  for (int64_t c = 0; c < 4; ++c) {
    EXPECT_NEAR(scores[0][static_cast<size_t>(c)], expected[c].item<double>(), 1e-10);
  }
}

TEST(Kfac, ScoresEveryUnitOfConvolutions) {
  const Combed net(convolutions());
  const at::Tensor x = example(net.source, 20, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  for (const auto& unit : net.combing.groups) {
    for (const auto& score : {score_obs, score_kfac, score_obd}) {
      const Scores scores = score(unit, net.context(statistics));
      EXPECT_NO_THROW(check_scores(unit, scores));
      for (const auto& block : scores) {
        for (double each : block) EXPECT_GE(each, 0);
      }
    }
  }
}

TEST(Obs, RefusesUnitsThatNoLayerReads) {
  const Combed net({"products",
                    {{"q.weight", {6, 4}}, {"k.weight", {6, 4}}},
                    "def forward(self, x):\n"
                    "  q = torch.linear(x, self.q.weight)\n"
                    "  k = torch.linear(x, self.k.weight)\n"
                    "  return torch.matmul(q, k.transpose(1, 2))\n",
                    {2, 3, 4}});
  const at::Tensor x = example(net.source, 4, 5);
  const auto statistics = gather_statistics(net.model, net.combing, {{{x}}}, layers_too());
  const ChannelGroup& unit = net.combing.groups.front();
  try {
    score_obs(unit, net.context(statistics));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no convolution or linear layer reads"));
  }
  const Scores expected = score_fisher(unit, net.context(statistics));
  const Scores scores = score_kfac(unit, net.context(statistics));
  for (size_t i = 0; i < expected[0].size(); ++i) {
    EXPECT_NEAR(scores[0][i], expected[0][i] * 0.5 / 4, 1e-12 * expected[0][i]);
  }
}

std::string message_of(const Combed& net, const CalibrationData& data) {
  try {
    gather_statistics(net.model, net.combing, data);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Statistics, RefuseLabelsThatDoNotFit) {
  const Combed net(convolutions());
  const at::Tensor x = example(net.source, 4, 5);
  EXPECT_THAT(message_of(net, {{{x}, torch::tensor({0, 1, 7, 2})}}),
              HasSubstr("the label 7 of the calibration data"));
  EXPECT_THAT(message_of(net, {{{x}, torch::tensor({0, -1, 2, 2})}}), HasSubstr("the label -1"));
  EXPECT_THAT(message_of(net, {{{x}, torch::tensor({0, 1})}}), HasSubstr("2 labels for 4 samples"));
  EXPECT_THAT(message_of(net, {{{x.narrow(1, 0, 1)}}}), HasSubstr("has the sizes [4, 1, 5, 5]"));
}

}  // namespace
}  // namespace cpd::testing
