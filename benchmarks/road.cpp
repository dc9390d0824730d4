// From a file to a smaller, verified file: seconds and memory of each step, beside one forward
// pass of the same batch through the original:
//   benchmark_road [NETWORK[:BATCH] ...]
// NETWORK is a file or a network of the zoo (resnet50, densenet121, ...), the batch 8 if not said.
// Scores are L1, every unit keeps half; one thread. Steps are wall-clock seconds. The forward pass
// has a process of its own, and so have the steps of each network: memory is the process's peak.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/comb/combing.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <sys/wait.h>
#include <torch/script.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>

#include "coverage/step.h"

namespace cpd {
namespace {

namespace fs = std::filesystem;

/// Wall-clock seconds of a step, and the peak of the process's memory while it ran.
struct Timed {
  double seconds = 0;
  double megabytes = 0;
};

Timed timed(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  const coverage::Step step = coverage::measured(work);
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
          step.megabytes};
}

/// What `work` returns, from a process of its own.
std::vector<double> in_own_process(size_t count, const std::function<std::vector<double>()>& work) {
  int ends[2];
  if (pipe(ends) != 0) throw Error("no pipe can be made");
  const pid_t child = fork();
  if (child == 0) {
    std::vector<double> figures = work();
    figures.resize(count);
    const auto bytes = static_cast<ssize_t>(count * sizeof(double));
    _exit(write(ends[1], figures.data(), count * sizeof(double)) == bytes ? 0 : 1);
  }
  close(ends[1]);
  std::vector<double> figures(count);
  const ssize_t bytes = read(ends[0], figures.data(), count * sizeof(double));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  if (bytes != static_cast<ssize_t>(count * sizeof(double))) throw Error("the process broke off");
  return figures;
}

struct Task {
  std::string name, path;
  int64_t batch = 8;
};

/// A network of the zoo is written to a file first, in a process of its own.
Task task_of(const std::string& text, const fs::path& folder) {
  Task task;
  const size_t colon = text.find(':');
  task.name = text.substr(0, colon);
  if (colon != std::string::npos) task.batch = std::stoll(text.substr(colon + 1));
  task.path = task.name;
  if (fs::exists(task.path)) return task;
  task.path = (folder / (task.name + ".pt")).string();
  in_own_process(1, [&]() -> std::vector<double> {
    auto network = make_network(published_spec(task.name), 1);
    network->eval();
    const auto example = random_input(input({2, 3, 224, 224}), 0);
    export_torchscript(trace_model(network, {example}), task.path, {.force = true});
    return {0};
  });
  return task;
}

/// Seconds of the faster of two passes after one that does not count, without gradients; peak.
std::vector<double> forward_pass(const Task& task) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  double best = 1e9, megabytes = 0;
  auto module = torch::jit::load(task.path);
  module.eval();
  const at::Tensor image = random_input(input({task.batch, 3, 224, 224}), 0);
  for (int i = 0; i < 3; ++i) {
    const Timed pass = timed([&] { module.forward({image}); });
    if (i > 0) best = std::min(best, pass.seconds);
    megabytes = std::max(megabytes, pass.megabytes);
  }
  return {best, megabytes};
}

/// Seconds of loading, combing, pruning and exporting, and the peak of all.
std::vector<double> steps(const Task& task, const fs::path& folder) {
  std::optional<Model> model;
  const Timed load = timed([&] {
    model = load_model(task.path, input(Shape{task.batch, 3, 224, 224}));
  });
  const Timed combing = timed([&] { comb(*model); });
  std::optional<OneShot> algorithm;
  const Timed prune = timed([&] {
    algorithm.emplace(std::move(*model), OneShotOptions{.mutator = {.importance = "l1"},
                                                        .allocation = "uniform",
                                                        .budget = {.ratio = 0.5}});
    algorithm->run();
  });
  const Timed write = timed([&] {
    export_torchscript(algorithm->mutator(), (folder / "pruned.pt").string(), {.force = true});
  });
  return {load.seconds, combing.seconds, prune.seconds, write.seconds,
          std::max({load.megabytes, prune.megabytes, write.megabytes})};
}

void print_road(const Task& task, const fs::path& folder, Table& table) {
  const auto forward = in_own_process(2, [&] { return forward_pass(task); });
  const auto road = in_own_process(5, [&] { return steps(task, folder); });
  const double whole = road[0] + road[2] + road[3];
  table.row({task.name, std::to_string(task.batch), seconds_text(forward[0]), seconds_text(road[0]),
             seconds_text(road[1]), seconds_text(road[2]), seconds_text(road[3]),
             seconds_text(whole), seconds_text(10 * forward[0] + 3), bytes_text(forward[1] * 1e6),
             bytes_text(road[4] * 1e6)});
}

int run(int argc, char** argv) {
  at::set_num_threads(1);
  const fs::path folder = fs::temp_directory_path() / ("cpd-road-" + std::to_string(getpid()));
  fs::create_directories(folder);
  std::vector<std::string> names(argv + 1, argv + argc);
  if (names.empty()) names = {"resnet50", "densenet121"};
  Table table({"network", "batch", "forward", "load", "comb", "prune", "export", "whole",
               "10 forward + 3 s", "memory: forward", "cpd"});
  for (const auto& name : names) print_road(task_of(name, folder), folder, table);
  std::cout << table.text();
  fs::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace cpd

int main(int argc, char** argv) {
  try {
    return cpd::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
