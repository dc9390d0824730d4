#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <cpd/core/error.h>
#include <cpd/cost/cost.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/cost/measure.h>
#include <cpd/model/execution.h>
#include <cpd/plan/choice.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <limits>

namespace cpd {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string machine_name() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.nodename) + " (" + name.machine + ")";
}

/// The values that a compact graph starts from.
Tensors initial_values(const Model& model, const Compaction& compaction) {
  Tensors values(compaction.graph.values.size());
  for (const auto& entry : model.parameters) {
    if (entry.value < 0) continue;
    const auto how = compaction.gathers.find(entry.value);
    values[static_cast<size_t>(entry.value)] =
        how == compaction.gathers.end() ? entry.tensor : gather(entry.tensor, how->second);
  }
  for (const auto& [value, tensor] : compaction.constants) {
    values[static_cast<size_t>(value)] = tensor;
  }
  for (size_t i = 0; i < model.example_inputs.size(); ++i) {
    values[static_cast<size_t>(compaction.graph.inputs[i])] = model.example_inputs[i];
  }
  return values;
}

/// The fastest time of each dense op; ops that compaction added count to the one they stand for.
std::vector<double> fastest_ops(const Model& model, const Compaction& compaction,
                                const MeasureOptions& options) {
  const c10::InferenceMode inference;
  const Execution execution(compaction.graph);
  const Tensors start = initial_values(model, compaction);
  std::vector<double> fastest(model.graph.ops.size(), std::numeric_limits<double>::infinity());
  for (int64_t run = 0; run < options.warmup + options.repeats; ++run) {
    Tensors values = start;
    std::vector<double> seconds(model.graph.ops.size(), 0);
    for (size_t i = 0; i < compaction.graph.ops.size(); ++i) {
      const auto op = static_cast<OpId>(i);
      const auto before = Clock::now();
      execution.run_op(op, values);
      const OpId dense = compaction.dense_ops[i];
      if (dense >= 0) seconds[static_cast<size_t>(dense)] += seconds_since(before);
      for (ValueId last : execution.last_uses(op)) values[static_cast<size_t>(last)].reset();
    }
    if (run < options.warmup) continue;
    for (size_t i = 0; i < seconds.size(); ++i) fastest[i] = std::min(fastest[i], seconds[i]);
  }
  return fastest;
}

/// Every group at a ratio of its channels, those that are not offered whole.
std::vector<int64_t> widths_at(const Combing& combing, double ratio) {
  std::vector<int64_t> widths;
  for (const auto& group : combing.groups) {
    widths.push_back(group.offered ? number_of(ratio, group.of, group.name) : group.of);
  }
  return widths;
}

/// Sorts by work; of equal work the fastest counts; noise must not make a smaller op slower.
void make_monotone(std::vector<LatencyPoint>& points) {
  std::sort(points.begin(), points.end(), [](const LatencyPoint& a, const LatencyPoint& b) {
    return a.work != b.work ? a.work < b.work : a.seconds < b.seconds;
  });
  const auto same = [](const LatencyPoint& a, const LatencyPoint& b) { return a.work == b.work; };
  points.erase(std::unique(points.begin(), points.end(), same), points.end());
  for (size_t i = points.size(); i-- > 1;) {
    points[i - 1].seconds = std::min(points[i - 1].seconds, points[i].seconds);
  }
}

}  // namespace

void MeasureOptions::verify() const {
  if (ratios.empty()) throw Error("no ratio", {.path = "ratios"}, "one or more");
  for (double ratio : ratios) {
    if (ratio > 0 && ratio <= 1) continue;
    throw Error("the value is " + std::to_string(ratio), {.path = "ratios"}, "ratios in (0, 1]");
  }
  if (repeats < 1) throw Error("no run", {.path = "repeats"}, "1 or more");
  if (warmup < 0) throw Error("the value is negative", {.path = "warmup"}, "0 or more");
}

LatencyTable measure_latency(const Model& model, const Combing& combing,
                             const MeasureOptions& options) {
  options.verify();
  LatencyTable table{machine_name(), at::get_num_threads(), batch_of(model), {}};
  for (const Op& op : model.graph.ops) table.ops.push_back({op.kind, {}});
  for (double ratio : options.ratios) {
    const Keep keep = prefix_keep(combing, widths_at(combing, ratio));
    const auto compaction = compact(model, combing, keep, default_rules());
    const auto seconds = fastest_ops(model, compaction, options);
    const KeptSizes sizes(combing, keep);
    const ShapeOf shape = [&](ValueId value) { return sizes.shape(model.graph, value); };
    for (size_t i = 0; i < seconds.size(); ++i) {
      table.ops[i].points.push_back({op_work(model.graph.ops[i], shape), seconds[i]});
    }
  }
  for (OpLatency& op : table.ops) make_monotone(op.points);
  table.verify();
  return table;
}

double measure_network(const Model& model, const Compaction& compaction,
                       const MeasureOptions& options) {
  options.verify();
  const c10::InferenceMode inference;
  const Execution execution(compaction.graph);
  const Tensors start = initial_values(model, compaction);
  std::vector<double> seconds;
  for (int64_t run = 0; run < options.warmup + options.repeats; ++run) {
    Tensors values = start;
    const auto before = Clock::now();
    execution.run(values);
    if (run >= options.warmup) seconds.push_back(seconds_since(before));
  }
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

}  // namespace cpd
