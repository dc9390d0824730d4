#include <cpd/algorithms/activation_masks.h>
#include <cpd/algorithms/block_pruning.h>
#include <cpd/exporters/export_pruned.h>
#include <gmock/gmock.h>
#include <torch/script.h>

#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

at::Tensor images_of(int64_t count) { return random_input(input({count, 1, 8, 8}), 9); }

DynamicModel dynamic(const Model& model) {
  const auto shared = std::make_shared<const Model>(model);
  return {shared, std::make_shared<const Combing>(comb(*shared))};
}

BlockPruningOptions options_for(BlockTarget target) {
  BlockPruningOptions options;
  options.targets = {std::move(target)};
  options.interval = 2;
  options.prunings = 4;
  return options;
}

/// Trains a network while blocks of its outputs go; returns the mask.
at::Tensor trained_mask(DynamicModel& network, const BlockPruningOptions& options,
                        const std::string& name, TrainOptions how = {.epochs = 3}) {
  how.optimiser.lr = 0.05;
  const auto handle = trainable(network);
  const auto hook = std::make_shared<BlockPruningHook>(options);
  Loader training = loader_of(96, 1, true);
  train(*handle, {training}, how, {.hooks = {hook}, .quiet = true});
  return network.model().find(name)->tensor.detach().clone();
}

TEST(ActivationMasks, OfOnesChangeNothing) {
  const Model model = learnt_model();
  const Model masked = with_activation_masks(model, {"conv*", "head"});
  ASSERT_NE(masked.find("conv1.activation_mask"), nullptr);
  EXPECT_EQ(masked.find("conv1.activation_mask")->tensor.sizes(), (Shape{1, 8, 8, 8}));
  EXPECT_EQ(masked.find("conv2.activation_mask")->tensor.sizes(), (Shape{1, 12, 3, 3}));
  EXPECT_EQ(masked.find("head.activation_mask")->tensor.sizes(), (Shape{1, 3}));
  EXPECT_EQ(masked.find("bn1.activation_mask"), nullptr);
  EXPECT_TRUE(dynamic(masked).forward(images_of(3)).equal(dynamic(model).forward(images_of(3))));
  EXPECT_THAT(message_of([&] { with_activation_masks(model, {"conv9"}); }),
              HasSubstr("no layer is meant by 'conv9'"));
}

/// By hand: what the mask takes from the input of the next layer.
TEST(ActivationMasks, TakeWhatTheyMask) {
  const auto network = std::make_shared<SmallNetwork>();
  network->eval();
  const Model model = with_activation_masks(trace_model(network, {images_of(2)}), {"conv2"});
  const at::Tensor& mask = model.find("conv2.activation_mask")->tensor;
  mask.slice(1, 2, 5).zero_();
  mask.select(2, 0).select(2, 1).zero_();
  const torch::NoGradGuard no_grad;
  const at::Tensor hidden =
      torch::relu(network->bn1->forward(network->conv1->forward(images_of(4))));
  const at::Tensor expected =
      network->head->forward(torch::relu(network->conv2->forward(hidden) * mask).mean({2, 3}));
  EXPECT_TRUE(dynamic(model).forward(images_of(4)).allclose(expected, 1e-5, 1e-6));
}

TEST(ActivationBlocks, StayZeroAndAreBakedIn) {
  for (const char* score : {"magnitude", "gradient"}) {
    SCOPED_TRACE(score);
    const Folder folder;
    DynamicModel network = dynamic(with_activation_masks(learnt_model(), {"conv1", "conv2"}));
    // Elements of each position, half of them.
    BlockPruningOptions options =
        options_for({.parameters = {}, .activations = {"conv2"}, .sparsity = 0.5});
    options.score = score;
    const at::Tensor mask = trained_mask(network, options, "conv2.activation_mask");
    EXPECT_EQ(mask.eq(0).sum().item<int64_t>(), 12 * 9 / 2);
    EXPECT_EQ(mask.eq(1).sum().item<int64_t>(), 12 * 9 / 2);
    EXPECT_TRUE(network.model().find("conv1.activation_mask")->tensor.eq(1).all().item<bool>());
    const Model baked = with_masks_baked(network.model());
    EXPECT_EQ(baked.find("conv1.activation_mask")->tensor.sizes(), (Shape{1, 1, 1, 1}));
    export_torchscript(baked, folder / "masked.pt");
    const torch::NoGradGuard no_grad;
    network.train(false);
    const at::Tensor exported =
        torch::jit::load(folder / "masked.pt").forward({images_of(5)}).toTensor();
    EXPECT_TRUE(exported.allclose(network.forward(images_of(5)), 1e-5, 1e-6));
  }
}

/// The positions of least size go, and as whole channels where blocks are channels.
TEST(ActivationBlocks, GoByWhatTheLayerGives) {
  Model model = learnt_model();
  {
    const torch::NoGradGuard no_grad;
    for (const int64_t quiet : {1, 4, 6, 7}) {
      model.find("bn1.weight")->tensor[quiet] = 0.01;
      model.find("bn1.bias")->tensor[quiet] = 0.001 * static_cast<double>(quiet);
    }
  }
  DynamicModel network = dynamic(with_activation_masks(model, {"bn1"}));
  BlockPruningOptions options = options_for(
      {.parameters = {}, .activations = {"bn1"}, .axes = {2, 3}, .sizes = {0, 0}, .sparsity = 0.5});
  const at::Tensor mask = trained_mask(network, options, "bn1.activation_mask");
  const at::Tensor channels = mask.mean(at::IntArrayRef{0, 2, 3});
  EXPECT_TRUE(channels.equal(torch::tensor({1., 0., 1., 1., 0., 1., 0., 0.}).to(at::kFloat)));
  // Whole channels do not tie the size of the images.
  const Model baked = with_masks_baked(network.model());
  EXPECT_EQ(baked.find("bn1.activation_mask")->tensor.sizes(), (Shape{1, 8, 1, 1}));
  EXPECT_EQ(baked.free.dims, network.model().free.dims);
}

TEST(ActivationBlocks, ResumeAsIfTheyHadNeverStopped) {
  const BlockPruningOptions options = options_for({.parameters = {}, .activations = {"conv*"}});
  const auto run = [&](const std::string& folder, int64_t epochs, const std::string& resume) {
    DynamicModel network = dynamic(with_activation_masks(learnt_model(), {"conv*"}));
    return trained_mask(network, options, "conv2.activation_mask",
                        {.epochs = epochs,
                         .schedule = {.type = ScheduleType::kConstant},
                         .ema = 0.5,
                         .work_dir = folder,
                         .resume = resume});
  };
  const Folder whole, parts;
  const at::Tensor expected = run(whole.path(), 3, "");
  struct Stops : TrainingHook {
    std::string name() const override { return "stops"; }
    void after_iteration(TrainingRun& training) override { flag = training.step() == 5; }
    std::atomic<bool> flag{false};
  };
  const auto stops = std::make_shared<Stops>();
  DynamicModel network = dynamic(with_activation_masks(learnt_model(), {"conv*"}));
  Loader training = loader_of(96, 1, true);
  train(*trainable(network), {training},
        {.epochs = 3,
         .optimiser = {.lr = 0.05},
         .schedule = {.type = ScheduleType::kConstant},
         .ema = 0.5,
         .work_dir = parts.path()},
        {.hooks = {std::make_shared<BlockPruningHook>(options), stops},
         .interrupted = &stops->flag,
         .quiet = true});
  EXPECT_TRUE(run(parts.path(), 3, "auto").equal(expected));
  EXPECT_EQ(expected.eq(0).sum().item<int64_t>(), expected.numel() / 2);
}

/// A network trains on after the hook that watched it is gone.
TEST(ActivationBlocks, OutliveTheirHook) {
  DynamicModel network = dynamic(with_activation_masks(learnt_model(), {"conv2"}));
  const auto handle = trainable(network);
  Loader training = loader_of(96, 1, true);
  const auto hook_of = [](int64_t prunings) {
    BlockPruningOptions options = options_for({.parameters = {}, .activations = {"conv2"}});
    options.prunings = prunings;
    return std::make_shared<BlockPruningHook>(options);
  };
  for (const int64_t prunings : {2, 3}) {
    train(*handle, {training}, {.epochs = 1}, {.hooks = {hook_of(prunings)}, .quiet = true});
  }
  train(*handle, {training}, {.epochs = 1}, {.quiet = true});
  const at::Tensor& mask = network.model().find("conv2.activation_mask")->tensor;
  EXPECT_EQ(mask.eq(0).sum().item<int64_t>(), mask.numel() / 2);
}

TEST(ActivationBlocks, AreRefusedWhereTheyCannotBe) {
  const auto error = [](Trainable& network, const BlockTarget& target) {
    return message_of([&] {
      Loader training = loader_of(96, 1, true);
      train(network, {training}, {.epochs = 2},
            {.hooks = {std::make_shared<BlockPruningHook>(options_for(target))}, .quiet = true});
    });
  };
  DynamicModel plain = dynamic(learnt_model());
  EXPECT_THAT(error(*trainable(plain), {.parameters = {}, .activations = {"conv2"}}),
              HasSubstr("no parameter or output is meant"));
  DynamicModel masked = dynamic(with_activation_masks(learnt_model(), {"conv2"}));
  EXPECT_THAT(error(*trainable(masked),
                    {.parameters = {}, .activations = {"conv2"}, .axes = {1}, .sizes = {5}}),
              HasSubstr("a multiple of the block's 5"));
  BlockTarget target;
  read_json(parse_json(R"({"activations": ["layer1.*"], "axes": [2, 3], "sizes": [0, 0]})", "t"),
            "target", target);
  EXPECT_TRUE(target.parameters.empty());
  EXPECT_EQ(target.activations, std::vector<std::string>{"layer1.*"});
}

}  // namespace
}  // namespace cpd::testing
