#include <cpd/core/error.h>
#include <cpd/importance/statistics.h>
#include <cpd/model/execution.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <dynamic_ops/fixture.h>
#include <dynamic_ops/sources.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <support/small_spec.h>
#include <torch/torch.h>

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

/// y = c relu(a x): the gate of channel i has the derivative c_i relu(a_i x).
Source two_layers() {
  return {"two_layers",
          {{"a.weight", {3, 2}}, {"c.weight", {1, 3}}},
          "def forward(self, x):\n"
          "  return torch.linear(torch.relu(torch.linear(x, self.a.weight)), self.c.weight)\n",
          {2, 2}};
}

/// A residual stream read twice, with an activation that is not homogeneous, and a flat head.
Source residual() {
  return {"residual",
          {{"a.weight", {6, 2, 3, 3}},
           {"b.weight", {6, 6, 3, 3}},
           {"b.bias", {6}},
           {"c.weight", {4, 96}}},
          "def forward(self, x):\n"
          "  y = torch.gelu(torch.conv2d(x, self.a.weight, None, [1, 1], [1, 1]))\n"
          "  z = y + torch.conv2d(y, self.b.weight, self.b.bias, [1, 1], [1, 1])\n"
          "  return torch.linear(torch.flatten(torch.gelu(z), 1), self.c.weight)\n",
          {2, 2, 4, 4}};
}

at::Tensor sum_loss(const std::vector<at::Tensor>& outputs, const at::Tensor&) {
  return outputs.front().sum();
}

at::Tensor square_loss(const std::vector<at::Tensor>& outputs, const at::Tensor&) {
  return outputs.front().square().sum();
}

struct Combed {
  explicit Combed(const Source& source)
      : model(import_module(module_of(source), {example(source, 3)})), combing(comb(model)) {}
  Model model;
  Combing combing;
};

TEST(Statistics, AreThoseWorkedOutByHand) {
  const Combed net(two_layers());
  {
    const torch::NoGradGuard no_grad;
    net.model.find("a.weight")
        ->tensor.copy_(torch::tensor({{1.0, 0.0}, {0.0, 1.0}, {1.0, 1.0}}, torch::kDouble));
    net.model.find("c.weight")->tensor.copy_(torch::tensor({{2.0, -1.0, 0.5}}, torch::kDouble));
  }
  // Hidden values: (1, 2, 3) and (3, 0, 1); gates: (2, -2, 1.5) and (6, 0, 0.5).
  const at::Tensor x = torch::tensor({{1.0, 2.0}, {3.0, -2.0}}, torch::kDouble);
  const auto all = gather_statistics(net.model, net.combing, {{{x}}}, {.loss = sum_loss});
  EXPECT_EQ(all.samples, 2);
  const UnitStatistics& unit = all.units.at(net.combing.groups.front().name);
  const auto near = [](const Scores& scores, const std::vector<double>& expected) {
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(scores.front().at(i), expected[i], 1e-12);
    }
  };
  near(unit.gate, {8, -2, 2});
  near(unit.gate_abs, {8, 2, 2});
  near(unit.gate_square, {40, 4, 2.5});
  near(unit.mean, {2, 1, 2});
  near(unit.variance, {1, 1, 1});
  near(unit.zeros, {0, 0.5, 0});
}

/// The loss with the reader slices of one channel scaled.
double loss_at(const Combed& net, const ChannelGroup& unit, int32_t channel, double scale,
               const at::Tensor& x) {
  const torch::NoGradGuard no_grad;
  Tensors values(net.model.graph.values.size());
  values[static_cast<size_t>(net.model.graph.inputs.front())] = x;
  for (const auto& parameter : net.model.parameters) {
    if (parameter.value < 0) continue;
    values[static_cast<size_t>(parameter.value)] = parameter.tensor.clone();
  }
  for (const auto& member : unit.members) {
    if (member.role != Role::kReader) continue;
    for (const auto& [position, index] : member.entries) {
      if (index != channel) continue;
      values[static_cast<size_t>(member.parameter)].select(member.dim, position).mul_(scale);
    }
  }
  const auto outputs = Execution(net.model.graph).run(values);
  return square_loss(outputs, {}).item<double>();
}

TEST(Statistics, GatesAreDerivativesOfTheLoss) {
  const Combed net(residual());
  const at::Tensor x = example(residual(), 3, 5);
  const auto all = gather_statistics(net.model, net.combing, {{{x}}}, {.loss = square_loss});
  ASSERT_EQ(net.combing.groups.size(), 1);
  const ChannelGroup& unit = net.combing.groups.front();
  const Scores& gate = all.units.at(unit.name).gate;
  for (int32_t channel = 0; channel < unit.of; ++channel) {
    const double step = 1e-5;
    const double expected =
        (loss_at(net, unit, channel, 1 + step, x) - loss_at(net, unit, channel, 1 - step, x)) /
        (2 * step);
    EXPECT_NEAR(gate.front().at(static_cast<size_t>(channel)), expected,
                1e-5 * std::max(1.0, std::fabs(expected)));
  }
}

TEST(Statistics, FisherIsTheSumOfSingleSamplesAndIgnoresTheSplit) {
  const Combed net(residual());
  const at::Tensor x = example(residual(), 6, 5);
  const StatisticsOptions options{.loss = square_loss};
  const auto whole = gather_statistics(net.model, net.combing, {{{x}}}, options);
  const auto split = gather_statistics(net.model, net.combing,
                                       {{{x.narrow(0, 0, 4)}}, {{x.narrow(0, 4, 2)}}}, options);
  const std::string name = net.combing.groups.front().name;
  const Scores& fisher = whole.units.at(name).gate_square;
  std::vector<double> singles(fisher.front().size(), 0);
  for (int64_t n = 0; n < 6; ++n) {
    const auto one = gather_statistics(net.model, net.combing, {{{x.narrow(0, n, 1)}}}, options);
    for (size_t i = 0; i < singles.size(); ++i) {
      singles[i] += std::pow(one.units.at(name).gate.front()[i], 2);
    }
  }
  for (size_t i = 0; i < singles.size(); ++i) {
    EXPECT_NEAR(fisher.front()[i], singles[i], 1e-9 * singles[i]);
    EXPECT_NEAR(split.units.at(name).gate_square.front()[i], singles[i], 1e-9 * singles[i]);
    EXPECT_NEAR(split.units.at(name).variance.front()[i], whole.units.at(name).variance.front()[i],
                1e-12);
  }
}

/// Of one sample's loss: the derivative with respect to a factor in front of what the writers of a
/// unit give, behind their batch norms if they have some, by the gradients of their parameters.
std::vector<double> gates_at_writers(const torch::nn::Module& network, const Model& model,
                                     const ChannelGroup& unit) {
  const auto tensors = network.named_parameters();
  std::vector<double> gates_of_norms(static_cast<size_t>(unit.of), 0), gates = gates_of_norms;
  bool norms = false;
  for (const auto& member : unit.members) {
    const std::string& name = model.parameter(member.parameter).name;
    const at::Tensor* tensor = tensors.find(name);
    if (tensor == nullptr || member.role == Role::kReader) continue;
    const std::string layer = name.substr(0, name.rfind('.'));
    const bool norm = model.find(layer + ".running_mean") != nullptr;
    norms = norms || norm;
    const at::Tensor products = *tensor * tensor->grad();
    for (const auto& [position, index] : member.entries) {
      (norm ? gates_of_norms : gates)[static_cast<size_t>(index)] +=
          products.select(member.dim, position).sum().item<double>();
    }
  }
  return norms ? gates_of_norms : gates;
}

class Homogeneous : public ::testing::TestWithParam<std::string> {};

/// Between a writer's batch norm and its readers there is nothing but ReLU, pooling and sums: a
/// factor may stand in front or behind.
TEST_P(Homogeneous, GatesOfReadersAreThoseOfWriters) {
  const NetworkSpec spec = small_spec(GetParam());
  auto network = make_network(spec, 1);
  randomise_statistics(*network, 2);
  network->to(torch::kDouble);
  network->eval();
  const at::Tensor images =
      random_input(input({3, 3, spec.height, spec.width}), 3).to(torch::kDouble);
  const Model model = trace_model(network, {images});
  const Combing combing = comb(model);
  for (int64_t n = 0; n < 3; ++n) {
    const at::Tensor image = images.narrow(0, n, 1);
    const auto all = gather_statistics(model, combing, {{{image}}}, {.loss = square_loss});
    network->zero_grad();
    network->forward(image).square().sum().backward();
    for (const auto& unit : combing.groups) {
      const Scores& gates = all.units.at(unit.name).gate;
      const auto expected = gates_at_writers(*network, model, unit);
      double largest = 0;
      for (const double gate : expected) largest = std::max(largest, std::fabs(gate));
      EXPECT_GT(largest, 0) << unit.name;
      for (size_t c = 0; c < expected.size(); ++c) {
        EXPECT_NEAR(gates.front().at(c), expected[c], 1e-9 * largest) << unit.name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, Homogeneous, ::testing::Values("resnet20", "resnet50", "vgg16_bn"),
                         [](const auto& test) { return test.param; });

TEST(Statistics, AreGatheredForEveryUnitOfEveryNetwork) {
  for (const Source& source : op_sources()) {
    const Combed net(source);
    const CalibrationData data = {{{example(source, 3)}}};
    Statistics all;
    const StatisticsOptions options{.loss = square_loss};
    ASSERT_NO_THROW(all = gather_statistics(net.model, net.combing, data, options)) << source.name;
    for (const auto& group : net.combing.groups) {
      if (!group.offered) continue;
      ASSERT_EQ(all.units.count(group.name), 1) << source.name << " " << group.name;
      EXPECT_NO_THROW(check_scores(group, all.units.at(group.name).gate_square)) << source.name;
    }
  }
}

TEST(Statistics, LeaveTheNetworkAlone) {
  const Combed net(residual());
  const at::Tensor x = example(residual(), 4, 5);
  gather_statistics(net.model, net.combing, {{{x}, torch::tensor({0, 1, 2, 3})}});
  for (const auto& parameter : net.model.parameters) {
    EXPECT_FALSE(parameter.tensor.grad().defined()) << parameter.name;
  }
}

TEST(Statistics, DrawLabelsByTheSeed) {
  const Combed net(residual());
  {
    const torch::NoGradGuard no_grad;
    net.model.find("c.weight")->tensor.mul_(0.01);  // no class is certain
  }
  const at::Tensor x = example(residual(), 4, 5);
  const auto gate = [&](uint64_t seed) {
    const auto all = gather_statistics(net.model, net.combing, {{{x}}}, {.seed = seed});
    return all.units.begin()->second.gate;
  };
  EXPECT_EQ(gate(1), gate(1));
  bool differs = false;
  for (uint64_t seed = 2; seed < 10; ++seed) differs = differs || gate(seed) != gate(1);
  EXPECT_TRUE(differs);
}

/// Class scores for each pixel, or for each second one.
Source dense_prediction(const std::string& stride) {
  return {"dense_prediction",
          {{"a.weight", {6, 2, 3, 3}}, {"c.weight", {4, 6, 1, 1}}},
          "def forward(self, x):\n"
          "  y = torch.relu(torch.conv2d(x, self.a.weight, None, [1, 1], [1, 1]))\n"
          "  return torch.conv2d(y, self.c.weight, None, [" +
              stride + ", " + stride + "])\n",
          {3, 2, 4, 4}};
}

TEST(Statistics, OfLabelMapsCountThePixelsThatHaveALabel) {
  for (const char* stride : {"1", "2"}) {
    const Combed net(dense_prediction(stride));
    const at::Tensor x = example(dense_prediction(stride), 3, 5);
    at::Tensor maps = torch::arange(48).remainder(4).view({3, 4, 4});
    maps[0].fill_(255);
    maps[1][2].fill_(255);
    const auto mean_of_sample = [&](const std::vector<at::Tensor>& outputs, const at::Tensor&) {
      namespace nn = torch::nn::functional;
      const at::Tensor logits = nn::interpolate(outputs[0], nn::InterpolateFuncOptions()
                                                                .size(std::vector<int64_t>{4, 4})
                                                                .mode(torch::kBilinear)
                                                                .align_corners(false));
      const at::Tensor odds = logits.log_softmax(1);
      const at::Tensor second = torch::cat({maps[1].narrow(0, 0, 2), maps[1].narrow(0, 3, 1)});
      const at::Tensor kept = torch::cat({odds[1].narrow(1, 0, 2), odds[1].narrow(1, 3, 1)}, 1);
      return -(kept.gather(0, second.unsqueeze(0)).mean() +
               odds[2].gather(0, maps[2].unsqueeze(0)).mean());
    };
    const auto found = gather_statistics(net.model, net.combing, {{{x}, maps}});
    const auto expected =
        gather_statistics(net.model, net.combing, {{{x}, maps}}, {.loss = mean_of_sample});
    for (const auto& [name, unit] : expected.units) {
      for (size_t i = 0; i < unit.gate_square[0].size(); ++i) {
        EXPECT_NEAR(found.units.at(name).gate_square[0][i], unit.gate_square[0][i],
                    1e-9 * unit.gate_square[0][i]);
      }
    }
  }
}

TEST(Statistics, RefuseLabelMapsThatDoNotFit) {
  const Combed net(dense_prediction("1"));
  const at::Tensor x = example(dense_prediction("1"), 3, 5);
  const auto message = [&](const at::Tensor& labels) -> std::string {
    try {
      gather_statistics(net.model, net.combing, {{{x}, labels}});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const at::Tensor maps = torch::zeros({3, 4, 4}, torch::kLong);
  EXPECT_EQ(message(maps), "");
  EXPECT_THAT(message(torch::zeros({3}, torch::kLong)),
              HasSubstr("there are 3 labels for 3 samples of the calibration data; expected a map "
                        "of labels for each sample"));
  EXPECT_THAT(message(maps + 4), HasSubstr("the label 4 of the calibration data is none of"));
}

TEST(Statistics, DrawLabelsOfPixelsByTheSeedAndTheSample) {
  const Combed net(dense_prediction("1"));
  const at::Tensor x = example(dense_prediction("1"), 3, 5);
  const auto gates = [&](const CalibrationData& data, uint64_t seed) {
    const auto all = gather_statistics(net.model, net.combing, data, {.seed = seed});
    return all.units.begin()->second.gate_square[0];
  };
  const auto whole = gates({{{x}}}, 1),
             split = gates({{{x.narrow(0, 0, 2)}}, {{x.narrow(0, 2, 1)}}}, 1);
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(whole[i], split[i], 1e-9 * whole[i]);
  EXPECT_NE(whole, gates({{{x}}}, 2));
}

TEST(Statistics, RefuseBadData) {
  const Combed net(residual());
  const at::Tensor x = example(residual(), 4, 5);
  const auto error = [&](const CalibrationData& data) -> std::string {
    try {
      gather_statistics(net.model, net.combing, data);
    } catch (const Error& caught) {
      return caught.what();
    }
    return "";
  };
  EXPECT_THAT(error({}), HasSubstr("no calibration data"));
  EXPECT_THAT(error({{{x, x}}}), HasSubstr("2 tensors"));
  EXPECT_THAT(error({{{x}, torch::tensor({0, 1, 2, 4})}}), HasSubstr("0 to 3"));
  EXPECT_THAT(error({{{x}, torch::tensor({0, 1})}}), HasSubstr("each sample"));
  EXPECT_THAT(error({{{x * NAN}, torch::tensor({0, 1, 2, 3})}}),
              HasSubstr("input 'x' of the calibration data holds values that are not finite"));
}

}  // namespace
}  // namespace cpd::testing
