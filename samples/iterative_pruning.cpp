// Prunes a network that has learnt while it trains on: scores from the training's own gradients, a
// little less of the network every few steps, until half of its multiply-accumulates are left.
#include <cpd/algorithms/iterative.h>
#include <cpd/cpd.h>
#include <cpd/data/loader.h>
#include <cpd/zoo/network.h>

#include <cstdio>
#include <iostream>

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
  const cpd::LoaderOptions how{.shape = {1, 16, 16}, .batch = 32};
  cpd::LoaderOptions shuffled = how;
  shuffled.shuffle = true;
  cpd::Loader training(bright_images(512, 1), shuffled), validation(bright_images(256, 3), how);

  auto network = cpd::make_network(cpd::parse_network("zoo:resnet20:classes=4:channels=1:size=16"),
                                   /*seed=*/0);
  const auto example = cpd::random_input(cpd::input({2, 1, 16, 16}), 0);
  cpd::train(*cpd::trainable(network), {training}, {.epochs = 2, .optimiser = {.lr = 0.05}},
             {.quiet = true});
  network->eval();

  cpd::IterativeOptions options;
  options.mutator.importance = "fisher";
  options.budget.macs = 0.5;
  options.schedule = "agp";
  options.interval = 4;
  options.prunings = 6;
  options.train.epochs = 3;
  options.train.optimiser.lr = 0.05;
  options.train.seed = 7;
  cpd::Iterative algorithm(cpd::trace_model(network, {example}), options);
  const cpd::Report report = algorithm.run({training, validation}, {.quiet = true});
  cpd::export_torchscript(algorithm.mutator(), "iterative_pruning.pt", {.force = true});

  std::cout << "half of the MACs or less: "
            << (2 * report.after.macs <= report.before.macs ? "yes" : "no") << "\n"
            << "right on 9 of 10 images or more: "
            << (report.accuracy.at("pruned") >= 0.9 ? "yes" : "no") << "\n";
  std::remove("iterative_pruning.pt");
}
