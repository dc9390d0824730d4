#include <cpd/graph/shuffle.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

/// View, transpose, view on eight channels, with what the last two lines are given.
Graph chain(const std::string& swap, const std::string& result, const std::string& output = "%4") {
  return parse_graph(
      "input %0 x : float32[2, 8, 3, 3]\n"
      "%1 : float32[2, 2, 4, 3, 3] = aten::view(self=%0, size=[2, 2, 4, 3, 3])\n"
      "%2 : " +
      swap +
      "\n"
      "%3 : float32[2, 4, 2, 3, 3] = aten::contiguous(self=%2, memory_format=0)\n"
      "%4 : " +
      result +
      "\n"
      "return " +
      output + "\n");
}

const char* const kSwap = "float32[2, 4, 2, 3, 3] = aten::transpose.int(self=%1, dim0=1, dim1=2)";
const char* const kBack = "float32[2, 8, 3, 3] = aten::view(self=%3, size=[2, -1, 3, 3])";

TEST(FuseChannelShuffles, TakesTheChainForOneOp) {
  Graph graph = chain(kSwap, kBack);
  fuse_channel_shuffles(graph);
  graph.verify();
  EXPECT_EQ(graph.op(3).kind, "aten::channel_shuffle");
  EXPECT_EQ(graph.op(3).tensor("self"), 0);
  EXPECT_EQ(graph.op(3).integer("groups"), 2);
}

TEST(FuseChannelShuffles, ReadsPermutations) {
  Graph graph =
      chain("float32[2, 4, 2, 3, 3] = aten::permute(self=%1, dims=[0, 2, 1, -2, -1])", kBack);
  fuse_channel_shuffles(graph);
  EXPECT_EQ(graph.op(3).kind, "aten::channel_shuffle");
}

TEST(FuseChannelShuffles, LeavesOtherSwapsAlone) {
  Graph graph =
      chain("float32[2, 4, 2, 3, 3] = aten::transpose.int(self=%1, dim0=0, dim1=2)", kBack);
  fuse_channel_shuffles(graph);
  EXPECT_EQ(graph.op(3).kind, "aten::view");
}

TEST(FuseChannelShuffles, LeavesOtherResultsAlone) {
  Graph graph = chain(kSwap, "float32[2, 8, 9] = aten::view(self=%3, size=[2, 8, 9])");
  fuse_channel_shuffles(graph);
  EXPECT_EQ(graph.op(3).kind, "aten::view");
}

TEST(FuseChannelShuffles, LeavesChainsThatAreReadInBetween) {
  Graph graph = chain(kSwap, kBack, "(%4, %2)");
  fuse_channel_shuffles(graph);
  EXPECT_EQ(graph.op(3).kind, "aten::view");
}

}  // namespace
}  // namespace cpd
