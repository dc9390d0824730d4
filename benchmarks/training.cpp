// How much faster a network trains once it has become smaller: seconds of an epoch of plain
// training of the dense network, and of the last epoch of a run of `Iterative` that has met its
// budget:
//   benchmark_training [NETWORK] [--images 256] [--batch 32] [--epochs 3] [--macs 0.5]
// NETWORK is one of the zoo (zoo:resnet18:classes=10:size=32, whose layers are 64 channels wide and
// more); images are random. Of each kind the fastest of the epochs counts. OMP_NUM_THREADS says on
// how many threads.
#include <ATen/ops/randint.h>
#include <cpd/algorithms/iterative.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/data/dataset.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "settings.h"

namespace cpd {
namespace {

/// Wall-clock seconds of each epoch of a run, with the MACs of the network.
class EpochClock : public TrainingHook {
 public:
  std::string name() const override { return "EpochClock"; }
  void before_run(TrainingRun&) override { last_ = std::chrono::steady_clock::now(); }
  void after_epoch(TrainingRun&) override {
    const auto now = std::chrono::steady_clock::now();
    seconds_.push_back(std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }
  /// The fastest of the last ones.
  double fastest(int64_t last) const {
    return *std::min_element(seconds_.end() - last, seconds_.end());
  }

 private:
  std::chrono::steady_clock::time_point last_;
  std::vector<double> seconds_;
};

class Training {
 public:
  Training(const std::string& network, const benchmarks::Settings& settings)
      : spec_(parse_network(network)),
        epochs_(std::stoll(settings.at("epochs"))),
        kept_(std::stod(settings.at("macs"))) {
    const int64_t images = std::stoll(settings.at("images"));
    const Shape shape{images, spec_.channels, spec_.height, spec_.width};
    data_ = tensor_dataset(at::randint(256, shape, at::kByte),
                           at::randint(spec_.classes, {images}, at::kLong), "random images");
    loader_ = {.shape = {spec_.channels, spec_.height, spec_.width},
               .batch = std::stoll(settings.at("batch")),
               .shuffle = true,
               .drop_last = true};
  }

  void print() {
    const double dense = dense_seconds();
    const double small = small_seconds();
    char line[64];
    std::snprintf(line, sizeof line, "%.3f of its MACs, %.3f of its time", macs_, small / dense);
    std::cout << to_text(spec_) << ", " << data_->size() << " images\n"
              << "epoch of the dense network: " << seconds_text(dense) << "\n"
              << "epoch after pruning: " << seconds_text(small) << ", " << line << "\n";
  }

 private:
  Model model() const {
    auto network = make_network(spec_, 1);
    network->eval();
    return trace_model(network, {at::rand({2, spec_.channels, spec_.height, spec_.width})});
  }
  static TrainOptions options(int64_t epochs) {
    return {.epochs = epochs, .optimiser = {.lr = 0.01, .weight_decay = 5e-4}};
  }

  double dense_seconds() {
    Loader loader(data_, loader_);
    const auto clock = std::make_shared<EpochClock>();
    ChannelMutator mutator(model());
    ShrinkingNetwork network(mutator);
    train(network, {loader}, options(epochs_), {.hooks = {clock}, .quiet = true});
    return clock->fastest(epochs_);
  }

  /// Two prunings, then epochs at the smaller size.
  double small_seconds() {
    Loader loader(data_, loader_);
    const auto clock = std::make_shared<EpochClock>();
    IterativeOptions how;
    how.budget.macs = kept_;
    how.by = IntervalUnit::kEpoch;
    how.interval = 1;
    how.prunings = 2;
    how.train = options(how.prunings + epochs_);
    Iterative algorithm(model(), how);
    const Report report = algorithm.run({loader}, {.hooks = {clock}, .quiet = true});
    macs_ = static_cast<double>(report.after.macs) / static_cast<double>(report.before.macs);
    return clock->fastest(epochs_);
  }

  NetworkSpec spec_;
  int64_t epochs_;
  double kept_;
  double macs_ = 0;
  DatasetPointer data_;
  LoaderOptions loader_;
};

}  // namespace
}  // namespace cpd

int main(int argc, char** argv) {
  try {
    cpd::benchmarks::Settings settings{
        {"images", "256"}, {"batch", "32"}, {"epochs", "3"}, {"macs", "0.5"}};
    const bool named = argc > 1 && argv[1][0] != '-';
    cpd::benchmarks::read_settings(argc, argv, named ? 2 : 1, settings);
    cpd::Training(named ? argv[1] : "zoo:resnet18:classes=10:size=32", settings).print();
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
