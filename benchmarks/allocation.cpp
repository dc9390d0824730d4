#include <benchmark/benchmark.h>
#include <cpd/allocation/allocation.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/importance/importance.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <torch/torch.h>

namespace cpd {
namespace {

/// ResNet-50 with L1 scores and half of its MACs to keep.
struct Setting {
  Setting() : model(traced()), combing(comb(model)), costs(model, combing) {
    for (const auto& group : combing.groups) {
      AllocationUnit unit;
      unit.name = group.name;
      unit.bounds.of = group.of;
      unit.scores = normalised(score_l1(group, {model, combing}));
      unit.prepare();
      problem.units.push_back(std::move(unit));
    }
    const auto macs = [this](const Widths& widths) {
      return static_cast<double>(costs.macs(widths));
    };
    problem.limits = {{"macs", macs(problem.largest()) / 2, macs}};
  }

  static Model traced() {
    auto network = make_network(published_spec("resnet50"), 1);
    network->eval();
    return trace_model(network, {torch::randn({1, 3, 224, 224})});
  }

  static Setting& shared() {
    static Setting setting;
    return setting;
  }

  Model model;
  Combing combing;
  CostsByWidth costs;
  AllocationProblem problem;
};

void count_after_one_step(benchmark::State& state) {
  Setting& setting = Setting::shared();
  Widths widths = setting.problem.largest();
  size_t unit = 0;
  for (auto _ : state) {
    widths[unit] = widths[unit] > 1 ? widths[unit] - 1 : setting.problem.units[unit].bounds.of;
    unit = (unit + 1) % widths.size();
    benchmark::DoNotOptimize(setting.costs.macs(widths));
  }
}
BENCHMARK(count_after_one_step);

void count_whole_network(benchmark::State& state) {
  Setting& setting = Setting::shared();
  const CostModel costs(setting.model, setting.combing);
  const Keep keep = prefix_keep(setting.combing, setting.problem.smallest());
  for (auto _ : state) benchmark::DoNotOptimize(costs.of(keep));
}
BENCHMARK(count_whole_network)->Unit(benchmark::kMicrosecond);

void allocate(benchmark::State& state) {
  const Setting& setting = Setting::shared();
  const Allocator allocator = allocators()[static_cast<size_t>(state.range(0))];
  state.SetLabel(allocator.name);
  for (auto _ : state) benchmark::DoNotOptimize(allocator.allocate(setting.problem));
}
BENCHMARK(allocate)->DenseRange(0, 5)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cpd

BENCHMARK_MAIN();
