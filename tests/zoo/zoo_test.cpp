#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <cpd/core/error.h>
#include <cpd/zoo/network.h>
#include <gtest/gtest.h>
#include <support/small_spec.h>

#include <algorithm>
#include <set>

namespace cpd {
namespace {

using testing::small_spec;

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

class EveryNetwork : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryNetwork, TakesSmallImages) {
  at::NoGradGuard no_grad;
  for (const int64_t side : {28, 32}) {
    const auto network = make_network(small_spec(GetParam(), 7, 2, side), 3);
    network->eval();
    const at::Tensor output = network->forward(at::rand({2, 2, side, side}));
    if (is_segmentation(GetParam())) {
      EXPECT_EQ(output.dim(), 4);
      EXPECT_GE(output.size(2), side / 4);
    } else {
      EXPECT_EQ(output.dim(), 2);
    }
    EXPECT_EQ(output.size(1), 7);
    EXPECT_TRUE(at::isfinite(output).all().item<bool>());
    EXPECT_TRUE(at::equal(network->outputs(at::zeros({2, 2, side, side})).front(),
                          network->forward(at::zeros({2, 2, side, side}))));
  }
}

TEST_P(EveryNetwork, IsTheSameForTheSameSeed) {
  const NetworkSpec spec = small_spec(GetParam(), 4, 1, 28);
  const auto first = make_network(spec, 5)->parameters();
  const auto second = make_network(spec, 5)->parameters();
  const auto other = make_network(spec, 6)->parameters();
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(at::equal(first[i], second[i]));
  EXPECT_FALSE(at::equal(first[0], other[0]));
}

TEST_P(EveryNetwork, GivesEveryParameterAGradient) {
  const auto network = make_network(small_spec(GetParam(), 4, 1, 28), 5);
  at::Tensor loss = at::zeros({});
  for (const at::Tensor& output : network->outputs(at::randn({2, 1, 28, 28}))) {
    loss = loss + output.square().sum();
  }
  loss.backward();
  for (const auto& parameter : network->named_parameters()) {
    EXPECT_TRUE(parameter.value().grad().defined()) << parameter.key();
    EXPECT_TRUE(parameter.value().requires_grad()) << parameter.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryNetwork, ::testing::ValuesIn(network_names()),
                         [](const auto& test) { return test.param; });

// The counts are those that the networks were published with (torchvision's, without GoogLeNet's
// auxiliary heads; He et al.'s for CIFAR; timm's, Xie et al.'s with ADE20K's 150 classes).
TEST(Zoo, HasThePublishedNumberOfParameters) {
  const std::map<std::string, int64_t> published = {
      {"alexnet", 61'100'840},
      {"vgg11_bn", 132'868'840},
      {"vgg16_bn", 138'365'992},
      {"resnet18", 11'689'512},
      {"resnet50", 25'557'032},
      {"densenet121", 7'978'856},
      {"mobilenet_v2", 3'504'872},
      {"mnasnet1_0", 4'383'312},
      {"squeezenet1_0", 1'248'424},
      {"squeezenet1_1", 1'235'496},
      {"googlenet", 6'624'904},
      {"resnet20", 269'722},
      {"resnet56", 853'018},
      {"vit_b_16", 86'567'656},
      {"segformer_b0", 3'752'694},
      {"deit_tiny_patch16_224", 5'717'416},
      {"deit_small_patch16_224", 22'050'664},
  };
  for (const auto& [name, count] : published) {
    EXPECT_EQ(count_parameters(*make_network(published_spec(name), 0)), count) << name;
  }
}

TEST(Zoo, NamesParametersAsPublished) {
  const std::multimap<std::string, std::string> examples = {
      {"alexnet", "classifier.6.bias"},
      {"vgg11_bn", "features.26.weight"},
      {"resnet18", "layer2.0.downsample.1.weight"},
      {"resnet50", "layer4.2.conv3.weight"},
      {"mobilenet_v2", "features.2.conv.1.0.weight"},
      {"mnasnet1_0", "layers.8.0.layers.6.weight"},
      {"squeezenet1_1", "features.3.expand3x3.bias"},
      {"densenet121", "features.denseblock2.denselayer12.conv1.weight"},
      {"googlenet", "inception4c.branch2.1.bn.weight"},
      {"resnet20", "layer2.0.conv1.weight"},
      {"fashion", "layer1.conv1.weight"},
      {"vit_b_16", "encoder.layers.encoder_layer_1.self_attention.in_proj_weight"},
      {"vit_b_16", "encoder.pos_embedding"},
      {"vit_b_16", "heads.head.bias"},
      {"deit_small_patch16_224", "patch_embed.proj.weight"},
      {"deit_small_patch16_224", "cls_token"},
      {"deit_small_patch16_224", "pos_embed"},
      {"deit_small_patch16_224", "blocks.1.attn.qkv.bias"},
      {"deit_small_patch16_224", "blocks.0.mlp.fc2.weight"},
      {"deit_small_upernet", "backbone.blocks.1.norm2.weight"},
      {"deit_small_upernet", "decode_head.psp_modules.3.1.bn.weight"},
      {"deit_small_upernet", "auxiliary_head.convs.0.conv.weight"},
      {"vit_b_upernet", "backbone.encoder.layers.encoder_layer_0.ln_1.bias"},
      {"segformer_b0", "backbone.block2.0.attn.kv.weight"},
      {"segformer_b0", "backbone.block1.0.mlp.dwconv.dwconv.weight"},
      {"segformer_b0", "decode_head.linear_c4.proj.weight"},
      {"unet", "decoder1.conv2.weight"},
  };
  for (const auto& [name, parameter] : examples) {
    NetworkSpec spec = published_spec(name);
    spec.depth = std::min<int64_t>(spec.depth, 2);
    EXPECT_TRUE(parameter_names(*make_network(spec, 0)).contains(parameter))
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

TEST(Zoo, SegmentsAtAQuarterOfTheImagesSize) {
  at::NoGradGuard no_grad;
  for (const std::string name : {"deit_small_upernet", "vit_b_upernet", "segformer_b0"}) {
    NetworkSpec spec = small_spec(name, 5);
    spec.height = 96;
    spec.width = 128;
    const auto network = make_network(spec, 0);
    network->eval();
    EXPECT_EQ(network->forward(at::rand({1, 3, 96, 128})).sizes(),
              (std::vector<int64_t>{1, 5, 24, 32}))
        << name;
  }
}

TEST(Zoo, UNetSegmentsAtTheImagesSize) {
  at::NoGradGuard no_grad;
  // Sizes that pooling cannot halve without a rest, in the small and the large form.
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{30, 45}, {70, 97}}) {
    const auto network = make_network({"unet", 5, 3, height, width}, 0);
    network->eval();
    EXPECT_EQ(network->forward(at::rand({1, 3, height, width})).sizes(),
              (std::vector<int64_t>{1, 5, height, width}));
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
  EXPECT_EQ(parse_network("zoo:deit_tiny_patch16_224:depth=3:embedding=96"),
            (NetworkSpec{"deit_tiny_patch16_224", 1000, 3, 224, 224, 3, 96, 3}));
  EXPECT_EQ(parse_network("zoo:segformer_b0:size=64"),
            (NetworkSpec{"segformer_b0", 150, 3, 64, 64, 2, 32, 0}));
}

TEST(NetworkText, RoundTrips) {
  const NetworkSpec spec{"googlenet", 12, 4, 40, 56};
  EXPECT_EQ(parse_network(to_text(spec)), spec);
  const NetworkSpec transformer{"deit_small_patch16_224", 12, 3, 32, 32, 4, 48, 3};
  EXPECT_EQ(parse_network(to_text(transformer)), transformer);
}

TEST(NetworkText, ErrorsNameWhatIsWrong) {
  EXPECT_NE(message_of("zoo:resnet19").find("'resnet19' in the zoo; expected one of alexnet"),
            std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:depth=3").find("'depth=3' is no option"), std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:classes=ten").find("'ten' is no whole number"),
            std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:classes").find("'' is no whole number"), std::string::npos);
  EXPECT_NE(message_of("zoo:resnet20:size=4").find("height of a network is 4"), std::string::npos);
  EXPECT_NE(message_of("zoo:segformer_b0:heads=3").find("expected channels=, classes=, depth="),
            std::string::npos);
  EXPECT_NE(message_of("zoo:vit_b_16:heads=5").find("768 cannot be cut in 5 heads"),
            std::string::npos);
  EXPECT_NE(message_of("zoo:vit_b_16:depth=5000").find("depth of a network is 5000"),
            std::string::npos);
  EXPECT_NE(message_of("resnet20").find("expected zoo:NAME"), std::string::npos);
}

}  // namespace
}  // namespace cpd
