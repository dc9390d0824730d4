// What pruning saves in time: seconds of dense and pruned files in turn, the fastest of some runs:
//   benchmark_speedup [--networks resnet18,resnet50] [--batches 1,16] [--macs 0.5,0.25]
//     [--allocation uniform,latency] [--threads 2] [--repeats 5]
// Networks are those of the zoo at 224x224 with random weights, widths are multiples of 8.
// `uniform` keeps one ratio everywhere; `latency` takes channels away where the score lost for the
// time saved, as measured here, is least (allocation `global`, scores per `latency`). Forms: plain,
// and frozen with weights and images in channels-last order.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/cost/measure.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <torch/script.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>

#include "settings.h"

namespace cpd {
namespace {

namespace fs = std::filesystem;
using benchmarks::list_of;
using benchmarks::seconds_of;
using benchmarks::Settings;

Settings settings_of(int argc, char** argv) {
  Settings settings{{"networks", "resnet18,resnet50,mobilenet_v2,vgg16_bn"},
                    {"batches", "1,16"},
                    {"macs", "0.5,0.25"},
                    {"allocation", "uniform,latency"},
                    {"threads", "2"},
                    {"repeats", "5"}};
  benchmarks::read_settings(argc, argv, 1, settings);
  return settings;
}

/// A file in the form in which it is timed.
torch::jit::Module loaded(const std::string& path, bool tuned) {
  auto module = torch::jit::load(path);
  module.eval();
  if (!tuned) return module;
  for (const at::Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4)
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
  return torch::jit::freeze(module);
}

struct Pair {
  double dense = 0, pruned = 0;
};

/// The fastest of `repeats` runs of each, in turn, after three that do not count.
Pair timed(const std::string& dense, const std::string& pruned, int64_t batch, bool tuned,
           int64_t repeats) {
  const at::NoGradGuard no_grad;
  auto first = loaded(dense, tuned), second = loaded(pruned, tuned);
  at::Tensor image = random_input(input({batch, 3, 224, 224}), 0);
  if (tuned) image = image.contiguous(at::MemoryFormat::ChannelsLast);
  Pair best{1e9, 1e9};
  for (int64_t i = -3; i < repeats; ++i) {
    const double one = seconds_of([&] { first.forward({image}); });
    const double two = seconds_of([&] { second.forward({image}); });
    if (i < 0) continue;
    best = {std::min(best.dense, one), std::min(best.pruned, two)};
  }
  return best;
}

class Speedup {
 public:
  explicit Speedup(Settings settings)
      : settings_(std::move(settings)),
        folder_(fs::temp_directory_path() / ("cpd-speedup-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~Speedup() { fs::remove_all(folder_); }

  void print() {
    std::printf("%d threads\n%-14s %-10s %6s %6s %-8s %10s %10s %8s\n", at::get_num_threads(),
                "network", "allocation", "macs", "batch", "form", "dense", "pruned", "faster");
    for (const auto& name : list_of(settings_, "networks")) print_network(name);
  }

 private:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  void print_network(const std::string& name) {
    auto network = make_network(published_spec(name), 1);
    network->eval();
    const Model model = trace_model(network, {random_input(input({16, 3, 224, 224}), 0)});
    export_torchscript(model, path("dense.pt"), {.force = true});
    OneShotOptions options{.mutator = {.importance = "l1", .unit = {.divisor = 8}}};
    const ChannelMutator whole(model);
    for (const auto& allocation : list_of(settings_, "allocation")) {
      if (allocation == "latency" && !options.mutator.latency_table) {
        options.mutator.latency_table = std::make_shared<const LatencyTable>(
            measure_latency(model, whole.combing(), {.repeats = 3, .warmup = 1}));
      }
      for (const auto& macs : list_of(settings_, "macs")) {
        options.budget = {};
        read_json(Json(std::stod(macs)), "macs", options.budget.macs.emplace());
        options.allocation = allocation == "latency" ? "global" : allocation;
        options.mutator.per = allocation == "latency" ? "latency" : "";
        print_pruned(name, allocation, model, options);
      }
    }
  }

  void print_pruned(const std::string& name, const std::string& allocation, const Model& model,
                    const OneShotOptions& options) {
    OneShot algorithm(model, options);
    const Report report = algorithm.run();
    export_torchscript(algorithm.mutator(), path("pruned.pt"), {.force = true});
    const double macs =
        static_cast<double>(report.after.macs) / static_cast<double>(report.before.macs);
    for (const auto& batch : list_of(settings_, "batches")) {
      for (const bool tuned : {false, true}) {
        const Pair pair = timed(path("dense.pt"), path("pruned.pt"), std::stoll(batch), tuned,
                                std::stoll(settings_.at("repeats")));
        std::printf("%-14s %-10s %6.3f %6s %-8s %10s %10s %8.2f\n", name.c_str(),
                    allocation.c_str(), macs, batch.c_str(), tuned ? "frozen" : "plain",
                    seconds_text(pair.dense).c_str(), seconds_text(pair.pruned).c_str(),
                    pair.dense / pair.pruned);
        std::fflush(stdout);
      }
    }
  }

  Settings settings_;
  fs::path folder_;
};

}  // namespace
}  // namespace cpd

int main(int argc, char** argv) {
  try {
    const auto settings = cpd::settings_of(argc, argv);
    at::set_num_threads(std::stoi(settings.at("threads")));
    cpd::Speedup(settings).print();
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
