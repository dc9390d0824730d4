// What each score, allocation and compensation leaves of a network's accuracy, without training:
//   benchmark_quality MODEL --data DIR --input 1,3,32,32 [--mean A,B,C --std A,B,C]
//     [--augment crop4,flip] [--images 1024] [--test-images 0] [--test-split test]
//     [--macs 0.75,0.5055]
//     [--importance l2,kfac] [--allocation uniform,greedy] [--compensation none,refit]
//     [--units inner,all] [--ridge 1e-3] [--positions 100000] [--divisor 1] [--against-latency 0]
// prints one line for each combination: the share of MACs kept and the accuracy on test images.
// With
// --against-latency 1, a second one for a latency budget of what is predicted for the first one's
// network, and for both the latency that is predicted and measured here, at the batch of the input.
#include <ATen/core/grad_mode.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/algorithms/scoring.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/cost/measure.h>
#include <cpd/data/data_options.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "settings.h"

namespace cpd {
namespace {

using benchmarks::Settings;

Settings settings_of(int argc, char** argv) {
  Settings settings{{"input", "1,3,32,32"},
                    {"images", "1024"},
                    {"test-images", "0"},
                    {"test-split", "test"},
                    {"augment", ""},
                    {"macs", "0.75,0.5055"},
                    {"importance", "random,l2,fpgm,bn_scale,taylor,fisher,obs,kfac"},
                    {"allocation", "uniform,greedy"},
                    {"compensation", "none,recalibrate,refit"},
                    {"units", "inner,all"},
                    {"ridge", "1e-3"},
                    {"positions", "100000"},
                    {"divisor", "1"},
                    {"against-latency", "0"},
                    {"seed", "0"}};
  benchmarks::read_settings(argc, argv, 2, settings, {"data", "mean", "std"});
  return settings;
}

DataOptions data_of(const Settings& settings, const std::string& images) {
  DataOptions options;
  options.batch = 128;
  for (const char* name : {"data", "mean", "std", "augment"}) {
    const auto found = settings.find(name);
    if (found != settings.end()) set_data_option(options, name, found->second);
  }
  set_data_option(options, "images", images);
  options.seed = std::stoull(settings.at("seed"));
  return options;
}

CalibrationData batches_of(Loader loader) {
  CalibrationData data;
  while (auto batch = loader.next()) data.push_back({{batch->images}, batch->labels});
  return data;
}

double accuracy(DynamicModel& model, const CalibrationData& data) {
  const at::NoGradGuard no_grad;
  model.set_mode(RunMode::kCompact);
  int64_t right = 0, all = 0;
  for (const auto& batch : data) {
    right += model.forward(batch.inputs.front()).argmax(1).eq(batch.labels).sum().item<int64_t>();
    all += batch.labels.numel();
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(all);
}

/// All combinations for one network.
class Quality {
 public:
  Quality(const std::string& path, Settings settings)
      : settings_(std::move(settings)),
        model_(
            std::make_shared<const Model>(load_model(path, parse_input(settings_.at("input"))))) {
    const Shape& shape = model_->graph.value(model_->graph.inputs.front()).shape;
    const ImageShape images{shape.at(1), shape.at(2), shape.at(3)};
    const DataOptions calibration = data_of(settings_, settings_.at("images"));
    data_ = batches_of(training_loader(open_dataset(calibration, "train"), calibration, images));
    DataOptions test = data_of(settings_, settings_.at("test-images"));
    ++test.seed;
    test_ =
        batches_of(evaluation_loader(open_dataset(test, settings_.at("test-split")), test, images));
  }

  void print() {
    ChannelMutator dense(model_);
    std::printf("dense %.2f %%\n", accuracy(dense.model(), test_));
    std::printf("%-6s %-10s %-18s %-12s %9s %9s %9s", "units", "importance", "allocation",
                "compensation", "macs", "top-1 %", "seconds");
    std::printf(against_latency() ? " %-8s %10s %10s\n" : "\n", "budget", "predicted", "measured");
    for (const auto& units : list("units")) {
      for (const auto& importance : list("importance")) print_scored(units, importance);
    }
  }

 private:
  std::vector<std::string> list(const std::string& name) const {
    return benchmarks::list_of(settings_, name);
  }

  /// Units that one layer writes: all but those of residual connections.
  std::vector<std::string> inner_units() const {
    std::vector<std::string> names;
    const ChannelMutator mutator(model_);
    for (const auto& unit : mutator.units()) {
      const auto& members = unit->group().members;
      const auto writers = std::count_if(members.begin(), members.end(), [](const Member& member) {
        return member.role == Role::kWriter;
      });
      if (writers == 1) names.push_back(unit->name());
    }
    return names;
  }

  void print_scored(const std::string& units, const std::string& importance) {
    MutatorOptions options{.importance = importance};
    options.unit.divisor = std::stoll(settings_.at("divisor"));
    if (against_latency()) options.latency_table = latency_table();
    if (units == "inner") options.only = inner_units();
    ChannelMutator mutator(model_, options);
    score_channels(mutator, data_);
    for (const auto& macs : list("macs")) {
      for (const auto& allocation : list("allocation")) {
        Budget budget;
        read_json(Json(std::stod(macs)), "macs", budget.macs);
        print_pruned(units, importance, allocation, budget, mutator);
        if (!against_latency()) continue;
        budget = {.latency = Amount(mutator.predicted_latency(), false)};
        print_pruned(units, importance, allocation, budget, mutator);
      }
    }
  }

  void print_pruned(const std::string& units, const std::string& importance,
                    const std::string& allocation, const Budget& budget, ChannelMutator& mutator) {
    mutator.allocate(budget, allocation);
    for (const auto& compensation : list("compensation")) {
      print_line(units, importance, allocation, compensation, mutator);
      if (against_latency()) print_latency(budget, mutator);
      std::printf("\n");
      std::fflush(stdout);
    }
    std::printf("  widths%s\n", widths_text(mutator).c_str());
  }

  bool against_latency() const { return settings_.at("against-latency") == "1"; }

  std::shared_ptr<const LatencyTable> latency_table() {
    if (!latencies_) {
      latencies_ = std::make_shared<const LatencyTable>(
          measure_latency(*model_, ChannelMutator(model_).combing()));
    }
    return latencies_;
  }

  void print_latency(const Budget& budget, ChannelMutator& mutator) const {
    const double measured = measure_network(*model_, mutator.model().compaction());
    std::printf(" %-8s %10s %10s", budget.latency ? "latency" : "macs",
                seconds_text(mutator.predicted_latency()).c_str(), seconds_text(measured).c_str());
  }

  void print_line(const std::string& units, const std::string& importance,
                  const std::string& allocation, const std::string& compensation,
                  ChannelMutator& mutator) {
    const auto start = std::chrono::steady_clock::now();
    CompensationOptions options;
    read_json(Json(compensation), "compensation", options);
    options.ridge = std::stod(settings_.at("ridge"));
    options.positions = std::stoll(settings_.at("positions"));
    const Compensation found =
        compensate(*model_, mutator.combing(), mutator.keep(), data_, options);
    mutator.set_values(found.values);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    const double macs = static_cast<double>(mutator.cost().macs) /
                        static_cast<double>(mutator.costs().dense().macs);
    std::printf("%-6s %-10s %-18s %-12s %9.4f %9.2f %9.1f", units.c_str(), importance.c_str(),
                allocation.c_str(), compensation.c_str(), macs, accuracy(mutator.model(), test_),
                seconds.count());
    mutator.set_values({});
  }

  static std::string widths_text(const ChannelMutator& mutator) {
    std::string text;
    for (const auto* unit : mutator.mutable_units()) {
      text += " " + std::to_string(unit->activated_channels());
    }
    return text;
  }

  Settings settings_;
  std::shared_ptr<const Model> model_;
  CalibrationData data_, test_;
  std::shared_ptr<const LatencyTable> latencies_;
};

}  // namespace
}  // namespace cpd

int main(int argc, char** argv) {
  try {
    if (argc < 2) throw cpd::Error("there is no model", {}, "MODEL --data DIR");
    cpd::Quality(argv[1], cpd::settings_of(argc, argv)).print();
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
