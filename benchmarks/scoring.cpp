// What scores cost beside training: seconds of one pass over some images for each kind of
// statistics, and of a plain forward and backward pass with gradients of all parameters:
//   benchmark_scoring [NETWORK] [--images 32] [--batch 16] [--repeats 3]
//     [--scores fisher,kfac] [--one-shot 0]
// NETWORK is one of the zoo at its published size (resnet18). With --one-shot N the whole of
// `hessian`, `greedy` to half of the MACs and `refit` runs on N random images instead, and its peak
// of memory is told. OMP_NUM_THREADS says on how many threads.
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

#include <cstdio>
#include <functional>
#include <iostream>
#include <map>

#include "coverage/step.h"
#include "settings.h"

namespace cpd {
namespace {

using benchmarks::list_of;
using benchmarks::seconds_of;
using benchmarks::Settings;

CalibrationData random_data(const NetworkSpec& spec, int64_t images, int64_t batch) {
  CalibrationData data;
  for (int64_t first = 0; first < images; first += batch) {
    const int64_t count = std::min(batch, images - first);
    const Shape shape{count, spec.channels, spec.height, spec.width};
    data.push_back({{random_input(input(shape), static_cast<uint64_t>(first))},
                    at::randint(spec.classes, {count}, at::kLong)});
  }
  return data;
}

class Scoring {
 public:
  explicit Scoring(const std::string& name, Settings settings)
      : settings_(std::move(settings)), spec_(published_spec(name)) {
    network_ = make_network(spec_, 1);
    network_->eval();
  }

  /// Kinds in turn, so that a busy machine is as unkind to each; the fastest of the repeats.
  void print() {
    const CalibrationData data = random_data(spec_, number("images"), number("batch"));
    const Model model = trace_model(network_, {data.front().inputs.front()});
    const Combing combing = comb(model);
    std::vector<std::pair<std::string, std::function<void()>>> kinds{
        {"forward + backward", [&] { train(data); }}};
    for (const auto& score : list_of(settings_, "scores")) {
      const StatisticsOptions options = statistics_for(Importance(score).needs);
      kinds.emplace_back(score, [&, options] { gather_statistics(model, combing, data, options); });
    }
    std::vector<double> best(kinds.size(), 1e9);
    for (int64_t repeat = 0; repeat < number("repeats"); ++repeat) {
      for (size_t i = 0; i < kinds.size(); ++i) {
        best[i] = std::min(best[i], seconds_of(kinds[i].second));
      }
    }
    Table table({"pass", "seconds", "times a plain pass"});
    for (size_t i = 0; i < kinds.size(); ++i) {
      char ratio[32];
      std::snprintf(ratio, sizeof ratio, "%.2f", best[i] / best[0]);
      table.row({kinds[i].first, seconds_text(best[i]), ratio});
    }
    std::cout << spec_.name << ", " << number("images") << " images\n" << table.text();
  }

  void print_one_shot() {
    const int64_t images = number("one-shot");
    const CalibrationData data = random_data(spec_, images, number("batch"));
    OneShotOptions options = one_shot_with_data();
    options.budget.macs = 0.5;
    coverage::Step step;
    Report report;
    const double seconds = seconds_of([&] {
      step = coverage::measured([&] {
        OneShot algorithm(trace_model(network_, {data.front().inputs.front()}), options);
        report = algorithm.run(data);
      });
    });
    std::cout << spec_.name << ", one shot on " << images << " images: " << seconds_text(seconds)
              << ", " << bytes_text(step.megabytes * 1e6) << " at most\n";
    for (const auto& [stage, taken] : report.seconds) {
      std::cout << "  " << stage << ": " << seconds_text(taken) << "\n";
    }
    for (const auto& note : report.notes) std::cout << "  note: " << note << "\n";
  }

 private:
  int64_t number(const std::string& name) const { return std::stoll(settings_.at(name)); }

  void train(const CalibrationData& data) {
    for (const auto& batch : data) {
      network_->zero_grad();
      const at::Tensor logits = network_->forward(batch.inputs.front());
      at::cross_entropy_loss(logits, batch.labels).backward();
    }
  }

  Settings settings_;
  NetworkSpec spec_;
  std::shared_ptr<ZooNetwork> network_;
};

}  // namespace
}  // namespace cpd

int main(int argc, char** argv) {
  try {
    std::map<std::string, std::string> settings{{"images", "32"},
                                                {"batch", "16"},
                                                {"repeats", "3"},
                                                {"scores", "fisher,kfac"},
                                                {"one-shot", "0"}};
    std::string network = "resnet18";
    const bool named = argc > 1 && argv[1][0] != '-';
    if (named) network = argv[1];
    cpd::benchmarks::read_settings(argc, argv, named ? 2 : 1, settings);
    cpd::Scoring scoring(network, settings);
    settings.at("one-shot") == "0" ? scoring.print() : scoring.print_one_shot();
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
