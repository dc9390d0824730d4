#include <cpd/compensation/compensation.h>
#include <cpd/core/error.h>
#include <dynamic_ops/fixture.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A convolution with stride, padding and dilation reads one that a batch norm follows.
Source convolutions() {
  return {"convolutions",
          {{"a.weight", {8, 3, 3, 3}},
           {"n.weight", {8}},
           {"n.bias", {8}},
           {"n.running_mean", {8}},
           {"n.running_var", {8}},
           {"b.weight", {6, 8, 3, 3}},
           {"b.bias", {6}},
           {"c.weight", {5, 6}},
           {"c.bias", {5}}},
          "def forward(self, x):\n"
          "  y = torch.conv2d(x, self.a.weight, None, [1, 1], [1, 1])\n"
          "  y = torch.relu(torch.batch_norm(y, self.n.weight, self.n.bias, self.n.running_mean,\n"
          "                                  self.n.running_var, False, 0.1, 1e-5, False))\n"
          "  y = torch.conv2d(y, self.b.weight, self.b.bias, [2, 1], [1, 2], [1, 2])\n"
          "  return torch.linear(torch.relu(y).mean([2, 3]), self.c.weight, self.c.bias)\n",
          {2, 3, 7, 8}};
}

/// Readers without bias before batch norms, and a residual connection.
Source residual() {
  return {"residual",
          {{"s.weight", {6, 3, 3, 3}},
           {"a.weight", {8, 6, 3, 3}},
           {"b.weight", {6, 8, 1, 1}},
           {"n.weight", {6}},
           {"n.bias", {6}},
           {"n.running_mean", {6}},
           {"n.running_var", {6}},
           {"d.weight", {8, 6, 1, 1}},
           {"e.weight", {6, 8, 1, 1}},
           {"m.weight", {6}},
           {"m.bias", {6}},
           {"m.running_mean", {6}},
           {"m.running_var", {6}},
           {"c.weight", {5, 6}}},
          "def forward(self, x):\n"
          "  s = torch.relu(torch.conv2d(x, self.s.weight, None, [1, 1], [1, 1]))\n"
          "  y = torch.relu(torch.conv2d(s, self.a.weight, None, [1, 1], [1, 1]))\n"
          "  y = torch.conv2d(y, self.b.weight)\n"
          "  y = torch.batch_norm(y, self.n.weight, self.n.bias, self.n.running_mean,\n"
          "                       self.n.running_var, False, 0.1, 1e-5, False)\n"
          "  s = torch.relu(s + y)\n"
          "  y = torch.conv2d(torch.relu(torch.conv2d(s, self.d.weight)), self.e.weight)\n"
          "  y = torch.batch_norm(y, self.m.weight, self.m.bias, self.m.running_mean,\n"
          "                       self.m.running_var, False, 0.1, 1e-5, False)\n"
          "  return torch.linear((s + y).mean([2, 3]), self.c.weight)\n",
          {2, 3, 6, 6}};
}

/// Grouped and depthwise convolutions.
Source grouped() {
  return {"grouped",
          {{"a.weight", {8, 3, 1, 1}},
           {"w.weight", {8, 1, 3, 3}},
           {"g.weight", {12, 4, 3, 3}},
           {"g.bias", {12}},
           {"c.weight", {5, 12}},
           {"c.bias", {5}}},
          "def forward(self, x):\n"
          "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
          "  y = torch.relu(torch.conv2d(y, self.w.weight, None, [1, 1], [1, 1], [1, 1], 8))\n"
          "  y = torch.conv2d(y, self.g.weight, self.g.bias, [1, 1], [1, 1], [1, 1], 2)\n"
          "  return torch.linear(torch.relu(y).mean([2, 3]), self.c.weight, self.c.bias)\n",
          {2, 3, 6, 6}};
}

/// Attention with projections: heads can go, and columns of them.
Source attention() {
  return {"attention",
          {{"q.weight", {12, 6}},
           {"k.weight", {12, 6}},
           {"v.weight", {12, 6}},
           {"o.weight", {6, 12}},
           {"o.bias", {6}},
           {"c.weight", {5, 6}}},
          "def forward(self, x):\n"
          "  b, t = x.size(0), x.size(1)\n"
          "  q = torch.linear(x, self.q.weight).view([b, t, 3, 4]).transpose(1, 2)\n"
          "  k = torch.linear(x, self.k.weight).view([b, t, 3, 4]).transpose(1, 2)\n"
          "  v = torch.linear(x, self.v.weight).view([b, t, 3, 4]).transpose(1, 2)\n"
          "  y = torch.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape([b, t, 12])\n"
          "  y = torch.linear(y, self.o.weight, self.o.bias)\n"
          "  return torch.linear(y.mean([1]), self.c.weight)\n",
          {2, 5, 6}};
}

struct Combed {
  explicit Combed(const Source& from)
      : source(from),
        model(import_module(module_of(source), {example(source, 3)})),
        combing(comb(model)),
        keep(half_of(combing, 4)) {}

  CalibrationData data(int64_t samples, int64_t batch, uint64_t seed = 7) const {
    CalibrationData result;
    const at::Tensor all = example(source, samples, seed);
    for (int64_t at = 0; at < samples; at += batch) {
      result.push_back({{all.narrow(0, at, std::min(batch, samples - at))}});
    }
    return result;
  }

  Source source;
  Model model;
  Combing combing;
  Keep keep;
};

CompensationOptions refit(double ridge = 1e-6) {
  return {.type = CompensationType::kRefit, .ridge = ridge, .recalibrate = false};
}

/// What the compact network gives with the new values.
at::Tensor pruned_output(const Combed& net, const Compensation& compensation, const at::Tensor& x,
                         RunMode mode = RunMode::kCompact) {
  const torch::NoGradGuard no_grad;
  auto model = std::make_shared<const Model>(with_values(net.model, compensation.values));
  DynamicModel dynamic(model, std::make_shared<const Combing>(net.combing));
  dynamic.set_keep(net.keep);
  dynamic.set_mode(mode);
  return dynamic.forward(x);
}

at::Tensor dense_output(const Combed& net, const at::Tensor& x) {
  const torch::NoGradGuard no_grad;
  auto module = module_of(net.source);
  return module.forward({x}).toTensor();
}

double relative_square(const at::Tensor& a, const at::Tensor& b) {
  return (a.detach() - b.detach()).square().sum().item<double>() /
         b.detach().square().sum().item<double>();
}

class CompensationTest : public ::testing::TestWithParam<Source> {};

TEST_P(CompensationTest, BringsOutputsNearerToTheDenseNetwork) {
  const Combed net(GetParam());
  const auto data = net.data(64, 16);
  const Compensation none = compensate(net.model, net.combing, net.keep, data, {});
  const Compensation bias = compensate(net.model, net.combing, net.keep, data,
                                       {.type = CompensationType::kBias, .recalibrate = false});
  const Compensation fit = compensate(net.model, net.combing, net.keep, data, refit());
  EXPECT_EQ(none.error_after, none.error_before);
  EXPECT_THAT(none.values, IsEmpty());
  EXPECT_LT(fit.error_after, 0.5 * fit.error_before);
  EXPECT_LT(fit.error_after, bias.error_after);
  const at::Tensor fresh = example(net.source, 64, 99);
  EXPECT_LT(relative_square(pruned_output(net, fit, fresh), dense_output(net, fresh)),
            relative_square(pruned_output(net, none, fresh), dense_output(net, fresh)));
}

TEST_P(CompensationTest, SaysHowFarOutputsAreOff) {
  const Combed net(GetParam());
  const auto data = net.data(48, 48);
  const Compensation fit = compensate(net.model, net.combing, net.keep, data, refit());
  const at::Tensor& x = data.front().inputs.front();
  EXPECT_NEAR(relative_square(pruned_output(net, fit, x), dense_output(net, x)), fit.error_after,
              1e-9);
  EXPECT_NEAR(relative_square(pruned_output(net, {}, x), dense_output(net, x)), fit.error_before,
              1e-9);
}

TEST_P(CompensationTest, MasksAndCutsWithTheNewValuesAlike) {
  const Combed net(GetParam());
  const Compensation fit = compensate(net.model, net.combing, net.keep, net.data(64, 16), refit());
  const at::Tensor x = example(net.source, 3, 12);
  EXPECT_LT(error_of(pruned_output(net, fit, x, RunMode::kMasked), pruned_output(net, fit, x)),
            1e-10);
}

TEST_P(CompensationTest, DoesNotDependOnTheSplitIntoBatches) {
  const Combed net(GetParam());
  const Compensation one = compensate(net.model, net.combing, net.keep, net.data(48, 48), refit());
  const Compensation many = compensate(net.model, net.combing, net.keep, net.data(48, 10), refit());
  ASSERT_EQ(one.values.size(), many.values.size());
  for (const auto& [name, tensor] : one.values) {
    EXPECT_LT(error_of(many.values.at(name), tensor), 1e-6) << name;
  }
}

TEST_P(CompensationTest, LeavesAWholeNetworkAsItIs) {
  const Combed net(GetParam());
  for (const auto type : {CompensationType::kRefit, CompensationType::kRecalibrate}) {
    const CompensationOptions options{.type = type, .recalibrate = true};
    const Compensation result =
        compensate(net.model, net.combing, Keep(net.combing), net.data(32, 16), options);
    EXPECT_LT(result.error_after, 1e-20);
    for (const auto& [name, tensor] : result.values) {
      EXPECT_LT(error_of(tensor, net.model.find(name)->tensor), 1e-9) << name;
    }
  }
}

TEST_P(CompensationTest, ChangesNothingOfTheModel) {
  const Combed net(GetParam()), twin(GetParam());
  compensate(net.model, net.combing, net.keep, net.data(32, 16), refit());
  for (const auto& parameter : net.model.parameters) {
    EXPECT_TRUE(parameter.tensor.equal(twin.model.find(parameter.name)->tensor));
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, CompensationTest,
                         ::testing::Values(convolutions(), residual(), grouped(), attention()),
                         [](const auto& network) { return network.param.name; });

/// Without a ridge no small change of a fitted layer can bring its output nearer to the dense one.
TEST(Refit, IsTheLeastSquaresSolutionOfALayer) {
  const Combed net(convolutions());
  const auto data = net.data(64, 32);
  const Compensation fit = compensate(net.model, net.combing, net.keep, data, refit(0));
  // The output of the second convolution is what the last layer reads, before the activation: with
  // an identity in its place the error is that of the layer.
  const at::Tensor x = torch::cat({data[0].inputs[0], data[1].inputs[0]});
  const auto value = [&](const std::string& name) { return net.model.find(name)->tensor.detach(); };
  const auto hidden = torch::relu(torch::batch_norm(
      torch::conv2d(x, value("a.weight"), {}, 1, 1), value("n.weight"), value("n.bias"),
      value("n.running_mean"), value("n.running_var"), false, 0.1, 1e-5, false));
  const auto layer = [&](const at::Tensor& input, const at::Tensor& weight,
                         const at::Tensor& bias) {
    return torch::conv2d(input, weight, bias, {2, 1}, {1, 2}, {1, 2});
  };
  // The unit that a writes and b reads, and the one that b writes.
  std::vector<int64_t> in, out;
  for (const auto& group : net.combing.groups) {
    auto& kept = group.name.rfind("a_", 0) == 0 ? in : out;
    for (size_t i = 0; i < group.blocks[0].size(); ++i) {
      if (net.keep.kept(group.blocks[0][i])) kept.push_back(static_cast<int64_t>(i));
    }
  }
  const at::Tensor inputs = torch::tensor(in), outputs = torch::tensor(out);
  const at::Tensor target =
      layer(hidden, value("b.weight"), value("b.bias")).index_select(1, outputs);
  const at::Tensor weight =
      fit.values.at("b.weight").index_select(0, outputs).index_select(1, inputs);
  const at::Tensor bias = fit.values.at("b.bias").index_select(0, outputs);
  const at::Tensor cut = hidden.index_select(1, inputs);
  const auto error = [&](const at::Tensor& w, const at::Tensor& b) {
    return (layer(cut, w, b) - target).square().sum().item<double>();
  };
  const double least = error(weight, bias);
  EXPECT_LT(least, error(value("b.weight").index_select(0, outputs).index_select(1, inputs),
                         value("b.bias").index_select(0, outputs)));
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  for (int i = 0; i < 20; ++i) {
    const auto noise = [&](const at::Tensor& like) {
      return torch::randn(like.sizes(), generator, torch::kDouble) * 1e-3;
    };
    EXPECT_GT(error(weight + noise(weight), bias + noise(bias)), least);
  }
}

TEST(Refit, RestoresWhatOtherChannelsCanGive) {
  const Source source{"copies",
                      {{"a.weight", {4, 3}}, {"c.weight", {2, 4}}},
                      "def forward(self, x):\n"
                      "  return torch.linear(torch.relu(torch.linear(x, self.a.weight)),\n"
                      "                      self.c.weight)\n",
                      {2, 3}};
  Combed net(source);
  {
    const torch::NoGradGuard no_grad;
    const at::Tensor rows = net.model.find("a.weight")->tensor;
    rows[3].copy_(2 * rows[1]);
  }
  net.keep = Keep(net.combing);
  net.keep.set(net.combing.groups.front().blocks[0][3], false);
  const Compensation fit =
      compensate(net.model, net.combing, net.keep, net.data(32, 32), refit(1e-12));
  EXPECT_GT(fit.error_before, 1e-4);
  EXPECT_LT(fit.error_after, 1e-18);
  const at::Tensor before = net.model.find("c.weight")->tensor.detach();
  const at::Tensor after = fit.values.at("c.weight");
  EXPECT_LT(error_of(after.select(1, 1), before.select(1, 1) + 2 * before.select(1, 3)), 1e-8);
  EXPECT_TRUE(after.select(1, 3).equal(before.select(1, 3)));
}

TEST(Refit, FollowsSums) {
  const Combed net(residual());
  const auto data = net.data(64, 16);
  CompensationOptions options = refit(1e-4);
  const double with = compensate(net.model, net.combing, net.keep, data, options).error_after;
  options.follow_sums = false;
  EXPECT_LT(with, compensate(net.model, net.combing, net.keep, data, options).error_after);
}

TEST(Refit, DrawsTheSameRowsForTheSameSeed) {
  const Combed net(convolutions());
  const auto data = net.data(32, 16);
  const auto weight = [&](uint64_t seed) {
    CompensationOptions options = refit();
    options.positions = 300;
    options.seed = seed;
    return compensate(net.model, net.combing, net.keep, data, options).values.at("b.weight");
  };
  EXPECT_TRUE(weight(1).equal(weight(1)));
  EXPECT_FALSE(weight(1).equal(weight(2)));
}

TEST(Refit, LeavesSharedWeights) {
  const Source source{"shared",
                      {{"a.weight", {6, 6}}, {"c.weight", {2, 6}}},
                      "def forward(self, x):\n"
                      "  y = torch.relu(torch.linear(x, self.a.weight))\n"
                      "  y = torch.relu(torch.linear(y, self.a.weight))\n"
                      "  return torch.linear(y, self.c.weight)\n",
                      {2, 6}};
  Combed net(source);
  net.keep = half_of(net.combing, 2);
  const Compensation fit = compensate(net.model, net.combing, net.keep, net.data(32, 16), refit());
  EXPECT_EQ(fit.values.count("a.weight"), 0);
}

/// Means and variances of the channels that each batch norm gives, first network first.
std::vector<at::Tensor> moments_after_norms(DynamicModel& model, const at::Tensor& x) {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> moments;
  model.forward(std::vector<at::Tensor>{x}, [&](const Op& op, Tensors& values) {
    if (op.kind != "aten::batch_norm") return;
    const at::Tensor& value = values[static_cast<size_t>(op.outputs.front())];
    moments.push_back(value.mean({0, 2, 3}));
    moments.push_back(value.var({0, 2, 3}, false));
  });
  return moments;
}

TEST(Recalibrate, GivesNormsTheDenseMoments) {
  const Combed net(residual());
  const auto data = net.data(64, 16);
  const Compensation result =
      compensate(net.model, net.combing, net.keep, data,
                 {.type = CompensationType::kRecalibrate, .recalibrate = true});
  EXPECT_EQ(result.values.size(), 4);
  const auto combing = std::make_shared<const Combing>(net.combing);
  DynamicModel dense(std::make_shared<const Model>(net.model), combing);
  DynamicModel pruned(std::make_shared<const Model>(with_values(net.model, result.values)),
                      combing);
  pruned.set_keep(net.keep);
  pruned.set_mode(RunMode::kCompact);
  std::vector<int64_t> kept;
  for (const auto& group : net.combing.groups) {
    for (size_t i = 0; group.name.rfind("s_", 0) == 0 && i < group.blocks[0].size(); ++i) {
      if (net.keep.kept(group.blocks[0][i])) kept.push_back(static_cast<int64_t>(i));
    }
  }
  const at::Tensor x =
      torch::cat({data[0].inputs[0], data[1].inputs[0], data[2].inputs[0], data[3].inputs[0]});
  const auto expected = moments_after_norms(dense, x), actual = moments_after_norms(pruned, x);
  ASSERT_EQ(actual.size(), 4);
  for (size_t i = 0; i < 4; ++i) {
    // As near as the norms' epsilon, which is held against variances near zero, lets them be.
    EXPECT_LT(error_of(actual[i], expected[i].index_select(0, torch::tensor(kept))), 1e-4);
  }
}

TEST(Recalibrate, IsLeftOutWhereItDoesNotHelp) {
  const Combed net(residual());
  const Compensation result =
      compensate(net.model, net.combing, Keep(net.combing), net.data(32, 16),
                 {.type = CompensationType::kRecalibrate});
  EXPECT_THAT(result.values, IsEmpty());
  EXPECT_THAT(result.notes.back(), HasSubstr("batch norms keep their statistics"));
}

std::string message_of(const Combed& net, const CalibrationData& data,
                       const CompensationOptions& options = refit()) {
  try {
    compensate(net.model, net.combing, net.keep, data, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Compensation, RefusesDataThatDoesNotFit) {
  const Combed net(convolutions());
  EXPECT_THAT(message_of(net, {}), HasSubstr("there is no calibration data"));
  EXPECT_THAT(message_of(net, net.data(5, 5)), HasSubstr("there are 5 calibration samples"));
  const at::Tensor wide = torch::zeros({32, 4, 7, 8}, torch::kDouble);
  EXPECT_THAT(message_of(net, {{{wide}}}), HasSubstr("has the sizes [32, 4, 7, 8]"));
  const at::Tensor flat = torch::zeros({32, 3}, torch::kDouble);
  EXPECT_THAT(message_of(net, {{{flat}}}), HasSubstr("has the sizes [32, 3]"));
  auto data = net.data(32, 16);
  EXPECT_THAT(message_of(net, {{{data[0].inputs[0], data[0].inputs[0]}}}), HasSubstr("2 tensors"));
  data[1].inputs[0] = data[1].inputs[0].clone();
  data[1].inputs[0][3][0][0][0] = std::nan("");
  EXPECT_THAT(message_of(net, data), HasSubstr("input 'x' of the calibration data holds values"));
}

TEST(Compensation, NamesTheTensorThatIsNotFinite) {
  const Combed net(convolutions());
  {
    const torch::NoGradGuard no_grad;
    net.model.find("b.weight")->tensor[0][0][0][0] = std::nan("");
  }
  EXPECT_THAT(message_of(net, net.data(32, 16)), HasSubstr("'b.weight' holds values"));
}

TEST(Compensation, StaysWithinItsMemory) {
  const Combed net(convolutions());
  CompensationOptions options = refit();
  options.memory = 400000;
  const Compensation result =
      compensate(net.model, net.combing, net.keep, net.data(200, 20), options);
  EXPECT_LT(result.samples, 200);
  EXPECT_GE(result.samples, 16);
  EXPECT_THAT(result.notes.front(), HasSubstr("samples, to stay within"));
  options.memory = 1000;
  EXPECT_THAT(message_of(net, net.data(200, 20), options), HasSubstr("fit in the memory"));
}

TEST(Compensation, ReadsItsConfiguration) {
  const auto read = [](const std::string& text) {
    CompensationOptions options;
    read_json(parse_json(text, "test"), "compensation", options);
    return options;
  };
  EXPECT_EQ(read(R"("refit")").type, CompensationType::kRefit);
  const CompensationOptions options =
      read(R"({"type": "refit", "ridge": 0.01, "positions": 5000, "recalibrate": true})");
  EXPECT_EQ(options.ridge, 0.01);
  EXPECT_EQ(options.recalibrate, true);
  Json json;
  to_json(json, options);
  EXPECT_EQ(read(json.dump()), options);
  const auto message = [&](const std::string& text) -> std::string {
    try {
      read(text);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(R"("fit")"), HasSubstr("none, bias, recalibrate, refit"));
  EXPECT_THAT(message(R"({"ridge": -1})"), HasSubstr("compensation.ridge"));
  EXPECT_THAT(message(R"({"rigde": 1})"), HasSubstr("rigde"));
}

TEST(WithValues, RefusesWhatDoesNotFit) {
  const Combed net(convolutions());
  EXPECT_THROW(with_values(net.model, {{"b.bais", torch::zeros({6})}}), Error);
  EXPECT_THROW(with_values(net.model, {{"b.bias", torch::zeros({5})}}), Error);
}

}  // namespace
}  // namespace cpd::testing
