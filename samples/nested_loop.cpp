// The nested loop of pruning, written out with parts of cpd and an allocator of one's own: a
// scheduler gives each step an objective, the allocator proposes ever smaller networks until the
// objective is achieved, the network is made smaller for good and trained, and so on.
#include <cpd/algorithms/fine_tune.h>
#include <cpd/algorithms/shrinking_network.h>
#include <cpd/algorithms/sparsity_schedule.h>
#include <cpd/allocation/proposer.h>
#include <cpd/cpd.h>
#include <cpd/zoo/network.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

/// An allocator of one's own: whichever unit has most channels loses one.
class WidestFirst : public cpd::Proposer {
 public:
  explicit WidestFirst(cpd::Widths widths) : widths_(std::move(widths)) {}
  std::optional<cpd::Widths> try_more() override {
    const auto widest = std::max_element(widths_.begin(), widths_.end());
    if (*widest == 1) return std::nullopt;
    --*widest;
    return widths_;
  }

 private:
  cpd::Widths widths_;
};

/// From the whole network to `end` of its multiply-accumulates in a few steps.
struct Scheduler {
  cpd::SparsitySchedule schedule = "agp";
  int steps = 4;
  double end = 0.4;
  int step = 0;

  bool terminate() const { return step == steps; }
  double get_objective() { return schedule.keep(static_cast<double>(++step) / steps, end); }
};

/// Images whose class shows in where they are bright.
cpd::DatasetPointer bright_images(int64_t count, uint64_t seed) {
  const auto images = cpd::random_input(cpd::input({count, 1, 16, 16}), seed);
  const auto labels = cpd::random_input({{count}, cpd::DType::kInt64, 0, 3}, seed + 1);
  for (int64_t i = 0; i < count; ++i) {
    images[i][0].narrow(1, 4 * labels[i].item<int64_t>(), 4).add_(1.5);
  }
  return cpd::tensor_dataset(images, labels, "bright images");
}

int main() {
  cpd::Loader training(bright_images(256, 1), {.shape = {1, 16, 16}, .batch = 32, .shuffle = true});
  auto module =
      cpd::make_network(cpd::parse_network("zoo:resnet20:classes=4:channels=1:size=16"), 0);
  module->eval();
  cpd::ChannelMutator mutator(
      cpd::trace_model(module, {cpd::random_input(cpd::input({2, 1, 16, 16}), 0)}));
  cpd::ShrinkingNetwork network(mutator);
  std::vector<cpd::Scores> scores = mutator.scores();
  cpd::Widths widths;
  for (const auto* unit : mutator.mutable_units()) widths.push_back(unit->num_channels());

  Scheduler scheduler;
  WidestFirst allocator(widths);
  const auto is_achieved = [&](double objective) {
    const auto dense = static_cast<double>(mutator.costs().dense().macs);
    return static_cast<double>(mutator.cost().macs) <= objective * dense;
  };
  const auto prune = [&](const cpd::Widths& specs) {
    cpd::Choices choices;
    for (size_t i = 0; i < specs.size(); ++i) {
      choices[mutator.mutable_units()[i]->name()] = specs[i];
    }
    mutator.set_choices(choices);
  };
  const auto speed_up = [&] { network.follow(); };
  const auto fine_tune = [&] {
    cpd::train(network, {training}, {.epochs = 1, .optimiser = {.lr = 0.05}}, {.quiet = true});
    network.write_back();
    // What is left is scored anew.
    scores = network.scores("l1", nullptr, scores);
    mutator.set_scores(scores);
  };

  while (!scheduler.terminate()) {
    const double step_objective = scheduler.get_objective();
    while (!is_achieved(step_objective)) prune(allocator.try_more().value());
    speed_up();
    fine_tune();
    std::cout << "step " << scheduler.step
              << " achieved: " << (is_achieved(step_objective) ? "yes" : "no") << "\n";
  }
  const cpd::ExportResult result =
      cpd::export_torchscript(mutator, "nested_loop.pt", {.force = true});
  std::cout << "exported and compared: " << (result.comparisons.empty() ? "no" : "yes") << "\n";
  std::remove("nested_loop.pt");
}
