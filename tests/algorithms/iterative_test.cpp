#include <cpd/algorithms/fine_tune.h>
#include <cpd/algorithms/growing_regularisation.h>
#include <cpd/algorithms/iterative.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/algorithms/step_budget.h>
#include <cpd/core/file.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/mutators/groups_of.h>
#include <cpd/units/plan_of.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <support/network.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/sgd.h>
#include <torch/script.h>
#include <training/fixture.h>

#include "agreement.h"
#include "learnt_model.h"

namespace cpd::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Model small_model(uint64_t seed = 1) {
  const auto network = std::make_shared<SmallNetwork>(seed);
  network->eval();
  return trace_model(network, {torch::rand({2, 1, 8, 8})});
}

at::Tensor images_of(int64_t count) { return random_input(input({count, 1, 8, 8}), 9); }

TEST(SparsitySchedule, FollowsItsFormula) {
  const auto keep = [](const char* name, double progress) {
    return SparsitySchedule(name).keep(progress, 0.36);
  };
  for (const auto& schedule : sparsity_schedules()) {
    EXPECT_DOUBLE_EQ(schedule.keep(0, 0.36), 1) << schedule.name;
    EXPECT_DOUBLE_EQ(schedule.keep(1, 0.36), 0.36) << schedule.name;
  }
  EXPECT_DOUBLE_EQ(keep("one_pass", 0.1), 0.36);
  EXPECT_DOUBLE_EQ(keep("linear", 0.5), 0.68);
  EXPECT_DOUBLE_EQ(keep("exponential", 0.5), 0.6);
  EXPECT_DOUBLE_EQ(keep("agp", 0.5), 0.44);
  EXPECT_DOUBLE_EQ(keep("cubic", 0.5), 0.44);
  EXPECT_THAT(message_of([] { SparsitySchedule("linera"); }), HasSubstr("linear"));
}

TEST(StepBudget, GoesTheScheduleFromTheDenseValue) {
  ChannelMutator mutator(small_model());
  const auto dense = static_cast<double>(mutator.costs().dense().macs);
  const Budget goal{.macs = Amount(0.5 * dense, false), .channels = Amount(0.6, true)};
  const Budget half = step_budget(goal, 0.5, "linear", mutator);
  EXPECT_DOUBLE_EQ(half.macs->value, 0.75);
  EXPECT_TRUE(half.macs->fraction);
  EXPECT_DOUBLE_EQ(half.channels->value, 0.8);
  EXPECT_EQ(step_budget(goal, 1, "linear", mutator), goal);
  EXPECT_DOUBLE_EQ(*step_budget({.ratio = 0.25}, 0.5, "exponential", mutator).ratio, 0.5);
  const SparsitySchedule wrong("own", [](double, double) { return 1.5; });
  EXPECT_THAT(message_of([&] { step_budget(goal, 0.5, wrong, mutator); }), HasSubstr("'own'"));
}

TEST(StepBudget, DividesScoresByWhatAChannelSaves) {
  for (const char* per : {"macs", "params", "memory"}) {
    ChannelMutator divided(small_model(), {.normalise = false, .per = per});
    ChannelMutator plain(small_model(), {.normalise = false});
    std::vector<Scores> scores = plain.scores();
    divided.divide_by_savings(scores);
    EXPECT_EQ(scores, divided.scores()) << per;
    EXPECT_NE(scores, plain.scores()) << per;
  }
}

TEST(StepBudget, NeverWidensAUnit) {
  ChannelMutator mutator(small_model());
  mutator.allocate({.macs = 0.4});
  const Choices before = mutator.current_choices();
  mutator.allocate({.macs = 0.9}, narrowing("global", mutator));
  EXPECT_EQ(mutator.current_choices(), before);
}

TEST(ShrinkingNetwork, ComputesWhatTheMaskedOneDoes) {
  const Folder folder;
  ChannelMutator mutator(small_model());
  mutator.dense().find("bn1.running_mean")->tensor.normal_(0, 0.2);
  ShrinkingNetwork network(mutator);
  EXPECT_LT(disagreement(network, images_of(5), folder.path()), 1e-5);
  for (const double macs : {0.7, 0.4, 0.2}) {
    {
      const torch::NoGradGuard no_grad;
      for (const auto& [name, tensor] : network.parameters()) tensor.add_(0.01);
    }
    network.write_back();
    mutator.allocate({.macs = macs}, narrowing("uniform", mutator));
    network.follow();
    EXPECT_LT(disagreement(network, images_of(5), folder.path()), 1e-5);
    EXPECT_EQ(mutator.cost().parameters, [&] {
      int64_t count = 0;
      for (const auto& [name, tensor] : network.parameters()) count += tensor.numel();
      return count;
    }());
  }
}

/// An oracle of its own: what the plan says of a tensor of the dense shape.
at::Tensor sliced(const Plan& plan, const std::string& name, const at::Tensor& dense) {
  const auto dimensions = plan.parameters.find(name);
  return dimensions == plan.parameters.end() ? dense.clone() : cut(dense, dimensions->second);
}

class ShrinkingOptimiser : public ::testing::TestWithParam<OptimiserType> {
 protected:
  static void step(ShrinkingNetwork& network, torch::optim::Optimizer& optimiser) {
    optimiser.zero_grad();
    network.forward(images_of(6)).square().mean().backward();
    optimiser.step();
  }

  OptimiserOptions options_{.type = GetParam(), .lr = 0.05, .weight_decay = 1e-3};
};

TEST_P(ShrinkingOptimiser, RemembersWhatAFreshOneDoesWithTheSlicedState) {
  ChannelMutator mutator(small_model());
  ShrinkingNetwork network(mutator);
  network.train(false);
  const auto optimiser = make_optimiser(options_, network.parameters());
  // Two shrinkings after one another; what was removed first must not come back.
  for (const double ratio : {0.7, 0.4}) {
    step(network, *optimiser);
    const auto state = optimiser_state(*optimiser, network.parameters());
    const Plan before = mutator.plan();
    network.write_back();
    mutator.allocate({.ratio = ratio}, narrowing("global", mutator));
    const NamedTensors old = network.parameters();
    const StateCut how = network.follow();
    replace_parameters(*optimiser, old, network.parameters(), how);

    ShrinkingNetwork fresh(mutator);
    fresh.train(false);
    const auto expected = make_optimiser(options_, fresh.parameters());
    std::map<std::string, at::Tensor> memory;
    for (const auto& [key, value] : state) {
      memory[key] = value;
      if (value.dim() == 0) continue;  // a number of steps
      // At the dense positions that the old network held, then as the new plan has it.
      const std::string name = key.substr(0, key.rfind('.'));
      const at::Tensor& dense = mutator.dense().find(name)->tensor;
      at::Tensor spread = torch::zeros_like(dense);
      const at::Tensor place =
          sliced(before, name, torch::arange(dense.numel()).view(dense.sizes()));
      spread.view(-1).index_copy_(0, place.reshape(-1), value.reshape(-1));
      memory[key] = sliced(mutator.plan(), name, spread);
    }
    EXPECT_GE(memory.size(), fresh.parameters().size());
    set_optimiser_state(*expected, fresh.parameters(), memory);
    EXPECT_EQ(differences(network, fresh), "");
    for (int i = 0; i < 2; ++i) {
      step(network, *optimiser);
      step(fresh, *expected);
    }
    EXPECT_EQ(differences(network, fresh), "");
  }
}

INSTANTIATE_TEST_SUITE_P(All, ShrinkingOptimiser,
                         ::testing::Values(OptimiserType::kSgd, OptimiserType::kAdam,
                                           OptimiserType::kAdamW));

TEST(ShrinkingNetwork, ScoresTheChannelsThatAreLeft) {
  // Batch norm scales tell channels apart: what is left must keep its own.
  Model model = small_model();
  {
    const torch::NoGradGuard no_grad;
    model.find("bn1.weight")->tensor.copy_(torch::tensor({3., 8., 1., 6., 2., 7., 5., 4.}));
  }
  ChannelMutator mutator(std::move(model),
                         {.importance = "bn_scale", .normalise = false, .freeze = {"conv2"}});
  ShrinkingNetwork network(mutator);
  std::vector<Scores> before;
  for (const auto& unit : mutator.units()) {
    before.emplace_back(1, std::vector<double>(static_cast<size_t>(unit->num_channels()), 1));
  }
  size_t conv1 = 0;
  while (mutator.units()[conv1]->name().find("conv1") == std::string::npos) ++conv1;
  EXPECT_THAT(network.scores("bn_scale", nullptr, before)[conv1][0],
              ElementsAre(3, 8, 1, 6, 2, 7, 5, 4));
  mutator.allocate({.ratio = 0.5});
  network.follow();
  EXPECT_THAT(network.scores("bn_scale", nullptr, before)[conv1][0],
              ElementsAre(-1, 8, -1, 6, -1, 7, 5, -1));
}

IterativeOptions iterative_options() {
  IterativeOptions options;
  options.budget.macs = 0.5;
  options.interval = 3;
  options.prunings = 4;
  options.train = {.epochs = 4, .optimiser = {.lr = 0.05}, .seed = 5};
  return options;
}

struct Pruned {
  explicit Pruned(IterativeOptions options) : algorithm(learnt_model(), std::move(options)) {}
  Report run(TrainCallbacks callbacks = {}) {
    Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
    callbacks.quiet = true;
    return algorithm.run({training, validation}, callbacks);
  }
  std::map<std::string, at::Tensor> tensors() {
    ShrinkingNetwork network(algorithm.mutator());
    std::map<std::string, at::Tensor> all;
    for (const auto& [name, tensor] : network.parameters()) all[name] = tensor;
    for (const auto& [name, tensor] : network.buffers()) all[name] = tensor;
    return all;
  }
  Iterative algorithm;
};

/// The widths of a run, one entry for each time that they changed.
struct KeepsWidths : TrainingHook {
  explicit KeepsWidths(ChannelMutator& mutator_in) : mutator(mutator_in) {}
  std::string name() const override { return "keeps widths"; }
  int priority() const override { return 0; }
  void after_iteration(TrainingRun&) override {
    Widths widths;
    for (const auto* unit : mutator.mutable_units()) widths.push_back(unit->activated_channels());
    if (seen.empty() || seen.back() != widths) seen.push_back(widths);
  }
  ChannelMutator& mutator;
  std::vector<Widths> seen;
};

/// Would a single step of a unit have fitted that was still possible at the last pruning?
bool could_be_wider(ChannelMutator& mutator, const Budget& budget,
                    const std::vector<Widths>& seen) {
  const AllocationProblem problem = mutator.problem(budget);
  const Widths &last = seen.back(), &before = seen.at(seen.size() - 2);
  for (size_t i = 0; i < last.size(); ++i) {
    Widths wider = last;
    wider[i] = problem.units[i].bounds.above(last[i]).value_or(before[i] + 1);
    if (wider[i] <= before[i] && problem.fits(wider)) return true;
  }
  return false;
}

TEST(Iterative, MeetsItsBudgetAndKeepsWhatItLearnt) {
  for (const char* importance : {"fisher", "hessian", "taylor", "movement", "l1", "activation"}) {
    SCOPED_TRACE(importance);
    const Folder folder;
    IterativeOptions options = iterative_options();
    options.mutator.importance = importance;
    Pruned pruned(options);
    const auto widths = std::make_shared<KeepsWidths>(pruned.algorithm.mutator());
    const Report report = pruned.run({.hooks = {widths}});
    const ReportBudget& budget = report.budgets.at("macs");
    EXPECT_LE(budget.reached, budget.limit);
    EXPECT_FALSE(could_be_wider(pruned.algorithm.mutator(), options.budget, widths->seen));
    EXPECT_GT(report.accuracy.at("pruned"), 0.9);
    ShrinkingNetwork network(pruned.algorithm.mutator());
    EXPECT_LT(disagreement(network, images_of(5), folder.path()), 1e-5);
    Loader validation = loader_of(48, 2, false);
    EXPECT_EQ(
        evaluate(*trainable(pruned.algorithm.architecture()), validation, {.quiet = true}).accuracy,
        report.accuracy.at("pruned"));
  }
}

TEST(Iterative, ResumesAsIfItHadNeverStopped) {
  for (const std::string importance : {"fisher", "activation", "l1"}) {
    for (const int64_t stop : {2, 7, 12, 20}) {
      SCOPED_TRACE(importance + " " + std::to_string(stop));
      struct Stops : TrainingHook {
        explicit Stops(int64_t step) : at(step) {}
        std::string name() const override { return "stops"; }
        void after_iteration(TrainingRun& run) override {
          if (run.step() == at) flag = true;
        }
        int64_t at;
        std::atomic<bool> flag{false};
      };
      const Folder folder, whole_folder;
      IterativeOptions options = iterative_options();
      options.mutator.importance = importance;
      if (importance == "l1") options.regulariser = regulariser(GrowingOptions{.delta = 0.1});
      options.train.ema = 0.8;
      options.train.work_dir = whole_folder.path();
      const auto never = std::make_shared<Stops>(-1), stops = std::make_shared<Stops>(stop);
      Pruned whole(options);
      whole.run({.hooks = {never}, .interrupted = &never->flag});
      options.train.work_dir = folder.path();
      Pruned part(options);
      part.run({.hooks = {stops}, .interrupted = &stops->flag});
      EXPECT_TRUE(part.algorithm.result().interrupted);
      options.train.resume = "auto";
      Pruned resumed(options);
      resumed.run({.hooks = {never}, .interrupted = &never->flag});
      EXPECT_EQ(resumed.algorithm.mutator().plan(), whole.algorithm.mutator().plan());
      const auto a = whole.tensors(), b = resumed.tensors();
      for (const auto& [name, tensor] : a) EXPECT_TRUE(tensor.equal(b.at(name))) << name;
    }
  }
}

TEST(Iterative, RefusesWhatCannotBe) {
  const auto error = [](const IterativeOptions& options) {
    return message_of([&] { Pruned(options).run(); });
  };
  IterativeOptions options = iterative_options();
  options.interval = 20;
  EXPECT_THAT(error(options), HasSubstr("ends at step 24"));
  options = iterative_options();
  options.budget.macs = 0.0001;
  EXPECT_THAT(error(options), HasSubstr("macs"));
  options = iterative_options();
  options.budget = {};
  EXPECT_THAT(error(options), HasSubstr("no goal"));
  options = iterative_options();
  options.mutator.freeze = {"*"};
  EXPECT_THAT(error(options), HasSubstr("no channel that can be pruned"));
}

TEST(Iterative, ReadsItsConfiguration) {
  const auto read = [](const std::string& text) {
    IterativeOptions options;
    read_json(parse_json(text, "test"), "", options);
    return options;
  };
  const IterativeOptions options = read(
      R"({"type": "Iterative", "mutator": {"importance": "taylor", "unit": {"divisor": 4}},
          "allocation": "greedy", "budget": {"macs": 0.4}, "schedule": "exponential",
          "interval": 2, "by": "epoch", "prunings": 5, "train": {"epochs": 12}})");
  EXPECT_EQ(options.mutator.importance.name, "taylor");
  EXPECT_EQ(options.schedule.name, "exponential");
  EXPECT_EQ(options.by, IntervalUnit::kEpoch);
  EXPECT_EQ(options.train.epochs, 12);
  EXPECT_EQ(Json(read(Json(options).dump())), Json(options));
  const auto error = [&](const std::string& text) { return message_of([&] { read(text); }); };
  EXPECT_THAT(error(R"({"type": "OneShot"})"), HasSubstr("Iterative"));
  EXPECT_THAT(error(R"({"train": {"epoch": 1}})"), HasSubstr("train.epoch"));
  EXPECT_THAT(error(R"({"schedule": "ag"})"), HasSubstr("schedule"));
  EXPECT_THAT(error(R"({"interval": "often"})"), HasSubstr("interval"));
  EXPECT_THAT(error(R"({"work_dir": "x"})"), HasSubstr("work_dir"));
}

TEST(Iterative, PrintsItsArchitecture) {
  const Iterative algorithm(small_model());
  EXPECT_THAT(algorithm.text(), HasSubstr("Iterative(\n  (architecture): Model(\n"));
}

TEST(FineTune, TrainsWhatOneShotHasLeft) {
  const Folder folder;
  OneShot algorithm(small_model(), {.budget = {.macs = 0.5}});
  algorithm.run();
  const Plan plan = algorithm.mutator().plan();
  Loader training = loader_of(96, 1, true), validation = loader_of(48, 2, false);
  const TrainResult result = fine_tune(algorithm.mutator(), {training, validation},
                                       {.epochs = 6, .optimiser = {.lr = 0.05}}, {.quiet = true});
  EXPECT_GT(result.evaluation->accuracy, 0.9);
  EXPECT_EQ(algorithm.mutator().plan().units, plan.units);
  EXPECT_EQ(evaluate(*trainable(algorithm.architecture()), validation, {.quiet = true}).accuracy,
            result.evaluation->accuracy);
  ShrinkingNetwork network(algorithm.mutator());
  EXPECT_LT(disagreement(network, images_of(5), folder.path()), 1e-5);
}

TEST(PruningHook, SavesAtEachThreshold) {
  const Folder folder;
  ChannelMutator mutator(small_model(), {.importance = "fisher"});
  PruningHookOptions options;
  options.interval = 2;
  options.prunings = 3;
  options.save_sparsity_thr = {0.3, 0.4, 0.6};
  options.work_dir = folder / "pruned";
  const auto hook = std::make_shared<PruningHook>(mutator, options);
  Loader training = loader_of(96, 1, true);
  train(hook->network(), {training}, {.epochs = 3, .optimiser = {.lr = 0.05}},
        {.hooks = {hook}, .quiet = true});
  EXPECT_TRUE(hook->is_done());
  EXPECT_THAT(hook->exports(),
              ElementsAre(folder / "pruned/sparsity_30.pt", folder / "pruned/sparsity_40.pt",
                          folder / "pruned/sparsity_60.pt"));
  const auto dense = static_cast<double>(mutator.costs().dense().parameters);
  double before = dense;
  for (size_t i = 0; i < 3; ++i) {
    double parameters = 0;
    const auto module = torch::jit::load(hook->exports()[i]);
    for (const auto& tensor : module.parameters())
      parameters += static_cast<double>(tensor.numel());
    EXPECT_LE(parameters, (1 - options.save_sparsity_thr[i]) * dense);
    EXPECT_LT(parameters, before);
    before = parameters;
  }
  EXPECT_EQ(load_checkpoint(folder / "pruned/sparsity_40.ckpt").facts.at("step"), 4);
}

TEST(PruningHook, NamesTheThresholdThatWouldNotBeReached) {
  const Folder folder;
  PruningHookOptions options;
  options.mutator.importance = "l1";
  options.interval = 2;
  options.prunings = 1;  // and one more for each of the other thresholds
  options.schedule = "one_pass";
  options.save_sparsity_thr = {0.2, 0.3, 0.4};
  options.work_dir = folder.path();
  const auto exports = [&](int64_t epochs) {
    const auto mutator = make_mutator(small_model(), options);
    const auto hook = std::make_shared<PruningHook>(*mutator, options);
    Loader training = loader_of(32, 1, true, 8);
    train(hook->network(), {training}, {.epochs = epochs}, {.hooks = {hook}, .quiet = true});
    return hook->exports().size();
  };
  EXPECT_THAT(message_of([&] { exports(1); }),
              HasSubstr("the run ends at step 4, before the last of 3 prunings at step 6, which "
                        "reaches the threshold 0.4"));
  EXPECT_EQ(exports(2), 3u);
}

TEST(PruningHook, EndsTheRunWithoutFineTuning) {
  ChannelMutator mutator(small_model(), {.importance = "l1"});
  PruningHookOptions options;
  options.interval = 1;
  options.by = IntervalUnit::kEpoch;
  options.prunings = 2;
  options.budget.macs = 0.5;
  options.continue_finetune = false;
  const auto hook = std::make_shared<PruningHook>(mutator, options);
  Loader training = loader_of(96, 1, true);
  const TrainResult result =
      train(hook->network(), {training}, {.epochs = 5}, {.hooks = {hook}, .quiet = true});
  EXPECT_EQ(result.step, 12);
  EXPECT_TRUE(hook->wants_to_stop());
}

TEST(PruningHook, GathersWhatEachScoreNeeds) {
  std::map<std::string, std::vector<Scores>> scores;
  for (const Importance& importance : importances()) {
    SCOPED_TRACE(importance.name);
    MutatorOptions how{.importance = importance, .normalise = false};
    if (importance.name == "bn_scale") how.freeze = {"conv2"};  // it has no batch norm
    ChannelMutator mutator(small_model(), how);
    PruningHookOptions options;
    options.interval = 4;
    options.prunings = 1;
    options.budget.macs = 0.6;
    const auto hook = std::make_shared<PruningHook>(mutator, options);
    Loader training = loader_of(96, 1, true);
    train(hook->network(), {training}, {.epochs = 1, .optimiser = {.lr = 0.05}},
          {.hooks = {hook}, .quiet = true});
    EXPECT_TRUE(hook->is_done());
    EXPECT_LE(mutator.cost().macs, 0.6 * static_cast<double>(mutator.costs().dense().macs));
    scores[importance.name] = mutator.scores();
  }
  // The curvature of the layers, not only the gates in front of them.
  EXPECT_NE(scores.at("kfac"), scores.at("gauss_newton"));
  EXPECT_NE(scores.at("obs"), scores.at("kfac"));
  EXPECT_EQ(scores.at("hessian"), scores.at("fisher"));
  EXPECT_NE(scores.at("movement"), scores.at("taylor"));
}

TEST(PruningHook, LearnsFromATeacher) {
  const Folder folder;
  export_torchscript(small_model(3), folder / "teacher.pt");
  const auto weights = [&](const std::string& text) {
    PruningHookOptions options;
    read_json(parse_json(text, "test"), "hooks[0]", options);
    const auto mutator = make_mutator(small_model(), options);
    const auto hook = std::make_shared<PruningHook>(*mutator, options, "hooks[0]");
    Loader training = loader_of(96, 1, true);
    train(hook->network(), {training}, {.epochs = 2, .optimiser = {.lr = 0.05}},
          {.hooks = {hook}, .quiet = true});
    EXPECT_TRUE(hook->is_done());
    return hook->network().parameters().back().second;
  };
  const std::string hook = R"({"interval": 2, "prunings": 2, "budget": {"macs": 0.6}, )";
  const at::Tensor alone = weights(hook + R"("mutator": {"importance": "l1"}})");
  const at::Tensor with_itself =
      weights(hook + R"("mutator": {"importance": "l1"}, "distill": {"losses": ["kl"]}})");
  const std::string file = (folder / "teacher.pt");
  const at::Tensor with_file =
      weights(hook + R"("mutator": {"importance": "l1"}, "teacher": ")" + file + "\"}");
  EXPECT_FALSE(alone.equal(with_itself));
  EXPECT_FALSE(with_itself.equal(with_file));
  EXPECT_THAT(message_of([&] { weights(hook + R"("teacher": "none.pt"})"); }),
              HasSubstr("hooks[0].teacher"));
}

TEST(PruningHook, WorksInALoopOfOnesOwn) {
  const Folder folder;
  torch::manual_seed(1);  // for dropout
  ChannelMutator mutator(learnt_model(), {.importance = "fisher"});
  PruningHookOptions options;
  options.interval = 4;
  options.prunings = 2;
  options.save_sparsity_thr = {0.5};
  options.work_dir = folder.path();
  PruningHook hook(mutator, options);
  hook.network().train(true);
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : hook.network().parameters()) parameters.push_back(tensor);
  torch::optim::SGD optimiser(parameters, torch::optim::SGDOptions(0.05).momentum(0.9));
  EXPECT_THAT(message_of([&] { hook.after_iteration(4); }), HasSubstr("attach"));
  hook.attach(optimiser);
  Loader loader = loader_of(96, 1, true);
  double loss_value = 0;
  for (int64_t i = 1; i <= 24; ++i) {
    if (i % 6 == 1) loader.start(i / 6);
    const Batch batch = *loader.next();
    optimiser.zero_grad();
    const at::Tensor loss = cross_entropy({hook.network().forward(batch.images)}, batch);
    loss.backward();
    optimiser.step();
    EXPECT_EQ(hook.after_iteration(i), i == 4 || i == 8);
    loss_value = loss.item<double>();
  }
  EXPECT_TRUE(hook.is_done());
  EXPECT_LT(loss_value, 0.5);
  EXPECT_LT(disagreement(hook.network(), images_of(5), folder.path()), 1e-5);
  EXPECT_TRUE(load_checkpoint(folder / "sparsity_50.ckpt")
                  .tensors.count("optimiser.head.weight.momentum_buffer"));
}

TEST(PruningHook, ReadsItsConfiguration) {
  const auto read = [](const std::string& text) {
    PruningHookOptions options;
    read_json(parse_json(text, "test"), "hooks[0]", options);
    options.verify("hooks[0]");
    return options;
  };
  const PruningHookOptions options = read(
      R"({"type": "PruningHook", "priority": "LOWEST", "interval": 50, "prune_cfg": "groups.json",
          "save_sparsity_thr": [0.2, 0.4], "continue_finetune": true, "work_dir": "work"})");
  EXPECT_EQ(options.priority, 100);
  EXPECT_EQ(options.prune_cfg, "groups.json");
  EXPECT_EQ(Json(read(Json(options).dump())), Json(options));
  const auto error = [&](const std::string& text) { return message_of([&] { read(text); }); };
  EXPECT_THAT(error(R"({"save_sparsity_thr": [0.4, 0.2], "work_dir": "w"})"),
              HasSubstr("hooks[0].save_sparsity_thr"));
  EXPECT_THAT(error(R"({"save_sparsity_thr": [0.4, 1.2], "work_dir": "w"})"),
              HasSubstr("not ascending"));
  EXPECT_THAT(error(R"({"save_sparsity_thr": [0.4]})"), HasSubstr("hooks[0].work_dir"));
  EXPECT_THAT(error(R"({"interval": 0, "budget": {"macs": 0.5}})"), HasSubstr("hooks[0].interval"));
  EXPECT_THAT(error(R"({"budget": {"macs": 0.5}, "prioriti": 1})"), HasSubstr("hooks[0].prioriti"));
  EXPECT_THAT(error("{}"), HasSubstr("no goal"));
  EXPECT_THAT(error(R"({"budget": {"macs": 0.5}, "allocation": "globl"})"),
              HasSubstr("hooks[0].allocation"));
}

TEST(PruningHook, KeepsWhatAnEditedFileFreezes) {
  const Folder folder;
  Groups groups = groups_of(ChannelMutator(small_model()));
  for (auto& [name, entry] : groups.units) entry.frozen = name.find("conv1") == 0;
  write_file(folder / "groups.json", to_json(groups));
  PruningHookOptions options;
  options.prune_cfg = folder / "groups.json";
  const auto mutator = make_mutator(small_model(), options);
  for (const auto* unit : mutator->mutable_units()) {
    EXPECT_THAT(unit->name(), HasSubstr("conv2"));
  }
  EXPECT_EQ(mutator->mutable_units().size(), 1u);
}

}  // namespace
}  // namespace cpd::testing
