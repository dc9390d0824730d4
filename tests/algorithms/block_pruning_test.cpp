#include <cpd/algorithms/block_pruning.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <training/fixture.h>

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

at::Tensor mask_of(const at::Tensor& scores, const BlockTarget& target) {
  return block_mask(scores, target, target.sparsity).to(at::kLong);
}

TEST(BlockMask, KeepsElementsRowsBlocksAndDimensions) {
  const at::Tensor scores = torch::tensor({{1, 9, 2, 3}, {8, 1, 7, 4}, {2, 2, 9, 9}, {1, 5, 1, 1}});
  // Single elements: the four highest of sixteen.
  EXPECT_TRUE(mask_of(scores, {.sparsity = 0.75})
                  .equal(torch::tensor({{0, 1, 0, 0}, {1, 0, 0, 0}, {0, 0, 1, 1}, {0, 0, 0, 0}})));
  // Rows: sums 15, 20, 22, 8.
  EXPECT_TRUE(mask_of(scores, {.axes = {1}, .sizes = {0}})
                  .equal(torch::tensor({{0, 0, 0, 0}, {1, 1, 1, 1}, {1, 1, 1, 1}, {0, 0, 0, 0}})));
  // Blocks of 2x2: sums 19, 16, 10, 20.
  EXPECT_TRUE(mask_of(scores, {.axes = {0, 1}, .sizes = {2, 2}})
                  .equal(torch::tensor({{1, 1, 0, 0}, {1, 1, 0, 0}, {0, 0, 1, 1}, {0, 0, 1, 1}})));
  // 2:4 along the rows; equal scores by position.
  EXPECT_TRUE(mask_of(scores, {.keep = 2, .of = 4})
                  .equal(torch::tensor({{0, 1, 0, 1}, {1, 0, 1, 0}, {0, 0, 1, 1}, {1, 1, 0, 0}})));
  EXPECT_TRUE(mask_of(scores, {.keep = 1, .of = 2, .along = 0})
                  .equal(torch::tensor({{0, 1, 0, 0}, {1, 0, 1, 1}, {1, 0, 1, 1}, {0, 1, 0, 0}})));
}

TEST(BlockMask, SaysWhatDoesNotDivide) {
  const at::Tensor scores = torch::ones({4, 6});
  EXPECT_THAT(message_of([&] { mask_of(scores, {.axes = {1}, .sizes = {4}}); }),
              HasSubstr("dimension 1 has 6 elements"));
  EXPECT_THAT(message_of([&] { mask_of(scores, {.keep = 2, .of = 4}); }),
              HasSubstr("4 blocks at a time"));
}

TEST(BlockPruning, ReadsItsConfiguration) {
  const auto read = [](const std::string& text) {
    BlockPruningOptions options;
    read_json(parse_json(text, "test"), "hook", options);
    options.verify("hook");
    return options;
  };
  const BlockPruningOptions options = read(
      R"({"type": "BlockPruningHook", "targets": [{"parameters": ["conv*.weight"], "n_m": "2:4"},
              {"axes": [0], "sizes": [4], "sparsity": 0.3}], "score": "gradient"})");
  EXPECT_EQ(options.targets[0].keep, 2);
  EXPECT_EQ(options.targets[0].of, 4);
  EXPECT_EQ(Json(read(Json(options).dump())), Json(options));
  const auto error = [&](const std::string& text) { return message_of([&] { read(text); }); };
  EXPECT_THAT(error(R"({"targets": [{"n_m": "4:2"}]})"), HasSubstr("hook.targets[0].n_m"));
  EXPECT_THAT(error(R"({"targets": [{"n_m": "2"}]})"), HasSubstr("2:4"));
  EXPECT_THAT(error(R"({"targets": [{"axes": [1, 0], "sizes": [2, 2]}]})"), HasSubstr("axes"));
  EXPECT_THAT(error(R"({"targets": [{"axes": [1]}]})"), HasSubstr("sizes"));
  EXPECT_THAT(error(R"({"score": "magnitud"})"), HasSubstr("magnitude"));
  EXPECT_THAT(error(R"({"targets": []})"), HasSubstr("hook.targets"));
}

double zeros_in(const at::Tensor& tensor) {
  return tensor.eq(0).to(at::kDouble).mean().item<double>();
}

TEST(BlockPruning, KeepsBlocksZeroWhileTheNetworkTrains) {
  for (const char* score : {"magnitude", "gradient"}) {
    const auto network = std::make_shared<SmallNetwork>();
    const auto handle = trainable(network);
    BlockPruningOptions options;
    options.targets = {{.parameters = {"conv2.weight"}, .axes = {2, 3}, .sizes = {0, 0}},
                       {.parameters = {"head.weight"}, .keep = 1, .of = 4}};
    options.score = score;
    options.interval = 2;
    options.prunings = 4;
    const auto hook = std::make_shared<BlockPruningHook>(options);
    Loader training = loader_of(96, 1, true);
    train(*handle, {training}, {.epochs = 3, .optimiser = {.lr = 0.05}},
          {.hooks = {hook}, .quiet = true});
    EXPECT_DOUBLE_EQ(zeros_in(network->conv2->weight), 0.5);
    EXPECT_DOUBLE_EQ(zeros_in(network->head->weight), 0.75);
    EXPECT_LT(zeros_in(network->conv1->weight), 0.1);
    // Kernels go as a whole.
    const at::Tensor kept = network->conv2->weight.ne(0).sum({2, 3});
    EXPECT_TRUE(kept.eq(0).logical_or(kept.eq(9)).all().item<bool>());
    BlockPruningOptions other = options;
    other.targets = {{.parameters = {"conv9.*"}}};
    EXPECT_THAT(message_of([&] {
                  train(*handle, {training}, {.epochs = 3},
                        {.hooks = {std::make_shared<BlockPruningHook>(other)}, .quiet = true});
                }),
                HasSubstr("no parameter or output is meant"));
  }
}

TEST(BlockPruning, ResumesAsIfItHadNeverStopped) {
  const auto run = [](const std::string& work_dir, int64_t epochs_before_stop) {
    const auto network = std::make_shared<SmallNetwork>();
    const auto handle = trainable(network);
    BlockPruningOptions options;
    options.interval = 3;
    options.prunings = 5;
    struct Stops : TrainingHook {
      std::string name() const override { return "stops"; }
      void after_iteration(TrainingRun& training) override {
        if (training.step() == at) flag = true;
      }
      int64_t at = -1;
      std::atomic<bool> flag{false};
    };
    const auto stops = std::make_shared<Stops>();
    stops->at = epochs_before_stop;
    Loader training = loader_of(96, 1, true);
    train(*handle, {training},
          {.epochs = 3, .optimiser = {.lr = 0.05}, .work_dir = work_dir, .resume = "auto"},
          {.hooks = {std::make_shared<BlockPruningHook>(options), stops},
           .interrupted = &stops->flag,
           .quiet = true});
    return network->conv2->weight.detach().clone();
  };
  const Folder whole, parts;
  const at::Tensor expected = run(whole.path(), -1);
  run(parts.path(), 8);
  EXPECT_TRUE(run(parts.path(), -1).equal(expected));
}

}  // namespace
}  // namespace cpd::testing
