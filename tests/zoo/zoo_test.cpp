#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <cpd/core/error.h>
#include <cpd/zoo/network.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace cpd {
namespace {

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

std::set<std::string> parameter_names(const torch::nn::Module& module) {
  const auto keys = module.named_parameters().keys();
  return {keys.begin(), keys.end()};
}

std::string message_of(const std::string& text) {
  try {
    parse_network(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class EveryNetwork : public testing::TestWithParam<std::string> {};

TEST_P(EveryNetwork, ClassifiesSmallImages) {
  at::NoGradGuard no_grad;
  for (const int64_t side : {28, 32}) {
    const NetworkSpec spec{GetParam(), 7, 2, side, side};
    const auto network = make_network(spec, 3);
    network->eval();
    const at::Tensor output = network->forward(at::rand({2, 2, side, side}));
    EXPECT_EQ(output.sizes(), (std::vector<int64_t>{2, 7}));
    EXPECT_TRUE(at::isfinite(output).all().item<bool>());
  }
}

TEST_P(EveryNetwork, IsTheSameForTheSameSeed) {
  NetworkSpec spec{GetParam(), 4, 1, 28, 28};
  const auto first = make_network(spec, 5)->parameters();
  const auto second = make_network(spec, 5)->parameters();
  const auto other = make_network(spec, 6)->parameters();
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(at::equal(first[i], second[i]));
  EXPECT_FALSE(at::equal(first[0], other[0]));
}

TEST_P(EveryNetwork, GivesEveryParameterAGradient) {
  const auto network = make_network({GetParam(), 4, 1, 28, 28}, 5);
  network->forward(at::randn({2, 1, 28, 28})).square().sum().backward();
  for (const auto& parameter : network->named_parameters()) {
    EXPECT_TRUE(parameter.value().grad().defined()) << parameter.key();
    EXPECT_TRUE(parameter.value().requires_grad()) << parameter.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryNetwork, testing::ValuesIn(network_names()),
                         [](const auto& test) { return test.param; });

// The counts are those that the networks were published with (torchvision's, without GoogLeNet's
// auxiliary heads; He et al.'s for CIFAR).
TEST(Zoo, HasThePublishedNumberOfParameters) {
  const std::map<std::string, int64_t> published = {
      {"alexnet", 61'100'840},   {"vgg11_bn", 132'868'840},    {"vgg16_bn", 138'365'992},
      {"resnet18", 11'689'512},  {"resnet50", 25'557'032},     {"mobilenet_v2", 3'504'872},
      {"mnasnet1_0", 4'383'312}, {"squeezenet1_0", 1'248'424}, {"squeezenet1_1", 1'235'496},
      {"googlenet", 6'624'904},  {"resnet20", 269'722},        {"resnet56", 853'018},
  };
  for (const auto& [name, count] : published) {
    EXPECT_EQ(count_parameters(*make_network(published_spec(name), 0)), count) << name;
  }
}

TEST(Zoo, NamesParametersAsTorchvisionDoes) {
  const std::map<std::string, std::string> examples = {
      {"alexnet", "classifier.6.bias"},
      {"vgg11_bn", "features.26.weight"},
      {"resnet18", "layer2.0.downsample.1.weight"},
      {"resnet50", "layer4.2.conv3.weight"},
      {"mobilenet_v2", "features.2.conv.1.0.weight"},
      {"mnasnet1_0", "layers.8.0.layers.6.weight"},
      {"squeezenet1_1", "features.3.expand3x3.bias"},
      {"googlenet", "inception4c.branch2.1.bn.weight"},
      {"resnet20", "layer2.0.conv1.weight"},
      {"fashion", "layer1.conv1.weight"},
  };
  for (const auto& [name, parameter] : examples) {
    EXPECT_TRUE(parameter_names(*make_network(published_spec(name), 0)).contains(parameter))
        << name << " " << parameter;
  }
}

TEST(Zoo, ShortcutsOfTheCifarNetworksHaveNoParameters) {
  const auto names = parameter_names(*make_network(published_spec("resnet20"), 0));
  EXPECT_TRUE(std::none_of(names.begin(), names.end(), [](const std::string& name) {
    return name.find("shortcut") != std::string::npos;
  }));
}

TEST(Zoo, BuildsTheImageNetForm) {
  at::NoGradGuard no_grad;
  for (const std::string name : {"alexnet", "resnet18", "mobilenet_v2", "squeezenet1_0"}) {
    const auto network = make_network({name, 5, 3, 96, 112}, 0);
    network->eval();
    EXPECT_EQ(network->forward(at::rand({1, 3, 96, 112})).size(1), 5) << name;
  }
}

TEST(Zoo, LeavesTheGlobalGeneratorAlone) {
  const at::Tensor state = at::globalContext().defaultGenerator(at::kCPU).get_state();
  make_network(published_spec("fashion"), 1);
  EXPECT_TRUE(at::equal(state, at::globalContext().defaultGenerator(at::kCPU).get_state()));
}

TEST(Zoo, RandomisedStatisticsDifferInEveryChannel) {
  const auto network = make_network(published_spec("fashion"), 1);
  randomise_statistics(*network, 2);
  for (const auto& buffer : network->named_buffers()) {
    if (!buffer.key().ends_with("running_var")) continue;
    EXPECT_GT(buffer.value().std().item<float>(), 0.1) << buffer.key();
    EXPECT_GE(buffer.value().min().item<float>(), 0.5) << buffer.key();
  }
  EXPECT_GT(network->named_parameters()["bn1.weight"].std().item<float>(), 0.3);
}

TEST(NetworkText, IsReadWithPublishedSizesWhereNothingIsSaid) {
  EXPECT_EQ(parse_network("zoo:resnet20"), (NetworkSpec{"resnet20", 10, 3, 32, 32}));
  EXPECT_EQ(parse_network("zoo:resnet18:classes=10:channels=1:size=28"),
            (NetworkSpec{"resnet18", 10, 1, 28, 28}));
  EXPECT_EQ(parse_network("zoo:vgg16_bn:height=64:width=96"),
            (NetworkSpec{"vgg16_bn", 1000, 3, 64, 96}));
}

TEST(NetworkText, RoundTrips) {
  const NetworkSpec spec{"googlenet", 12, 4, 40, 56};
  EXPECT_EQ(parse_network(to_text(spec)), spec);
}

TEST(NetworkText, ErrorsNameWhatIsWrong) {
  EXPECT_NE(message_of("zoo:resnet19").find("'resnet19' in the zoo; expected one of alexnet"),
            std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:depth=3").find("'depth=3' is no option"), std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:classes=ten").find("'ten' is no whole number"),
            std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:classes").find("'' is no whole number"), std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:size=4").find("height of a network is 4"), std::string::npos);
  EXPECT_NE(message_of("resnet20").find("expected zoo:NAME"), std::string::npos);
}

}  // namespace
}  // namespace cpd
