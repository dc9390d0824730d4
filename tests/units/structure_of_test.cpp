#include <cpd/units/structure_of.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>

namespace cpd {
namespace {

TEST(StructureOf, IsSharedByTheInnerChannelsOfAllBlocks) {
  auto network = make_network({"resnet20", 10, 3, 32, 32}, 1);
  network->eval();
  const Model model = trace_model(network, {torch::randn({2, 3, 32, 32})});
  const Combing combing = comb(model);
  std::map<std::string, int> families;
  std::string inner;
  for (const auto& group : combing.groups) {
    const std::string structure = structure_of(model, group);
    ++families[structure];
    if (group.name.find("layer2.1.conv1_") == 0) inner = structure;
  }
  // Convolution with batch norm (weight, bias and two statistics), then the next convolution.
  EXPECT_EQ(inner, "plain channels: 4 x along 0/1, 1 x reader 1/4, 1 x writer 0/4");
  EXPECT_EQ(families[inner], 9);
  EXPECT_GT(families.size(), 1U) << "the streams have other structures";
}

}  // namespace
}  // namespace cpd
