#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/core/text.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/cost/measure.h>
#include <cpd/plan/choice.h>

#include <algorithm>
#include <numeric>

namespace cpd::cli {
namespace {

void add_measure_options(po::options_description& options) {
  add_model_options(options);
  options.add_options()("ratios", value("R,R,...")->default_value("1,0.75,0.5,0.25,0.125"),
                        "widths at which ops are measured, as ratios of channels kept")(
      "repeats", value("N")->default_value("7"), "runs of each op, of which the fastest counts")(
      "warmup", value("N")->default_value("2"), "runs before those");
  add_output_options(options, "the table, which `cpd prune --latency-table` takes,");
}

MeasureOptions measure_options(const po::variables_map& values) {
  MeasureOptions options;
  options.repeats = whole_of(values, "repeats", 1);
  options.warmup = whole_of(values, "warmup", 0);
  options.ratios.clear();
  for (const auto& text : split(text_of(values, "ratios"))) {
    options.ratios.push_back(as_usage("ratios", [&] { return parse_amount(text).value; }));
  }
  as_usage("ratios", [&] { options.verify(); });
  return options;
}

/// The ops that take longest, and what the whole network is predicted to take.
std::string table_text(const Model& model, const Combing& combing, const LatencyTable& table) {
  constexpr size_t kShown = 10;
  CostsByWidth costs(model, combing);
  costs.set_latency_table(table);
  const double total = costs.latency(costs.dense_widths());
  std::vector<size_t> order(table.ops.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto seconds = [&](size_t op) { return table.ops[op].points.back().seconds; };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return seconds(a) > seconds(b); });
  if (order.size() > kShown) order.resize(kShown);
  Table text({"op", "layer", "time", "share"});
  for (size_t op : order) {
    text.row({table.ops[op].op, model.graph.ops[op].scope, seconds_text(seconds(op)),
              percent_text(seconds(op) / total)});
  }
  return model.source + ": " + seconds_text(total) + " for a batch of " +
         std::to_string(table.batch) + " on " + table.machine + ", " +
         std::to_string(table.threads) + (table.threads == 1 ? " thread" : " threads") + "\n\n" +
         text.text();
}

int run_measure(const po::variables_map& values) {
  const MeasureOptions options = measure_options(values);
  check_outputs(values, {"output"});
  const Model model = read_model(values);
  const Combing combing = comb(model);
  const LatencyTable table = measure_latency(model, combing, options);
  deliver(values, table_text(model, combing, table), [&] { return to_json(table); });
  return 0;
}

}  // namespace

Command measure_command() {
  return {"measure",
          "MODEL",
          "Measures how long each op takes at several widths: what latency budgets hold on.",
          "cpd measure zoo:resnet20 -o table.json\n"
          "cpd prune zoo:resnet20 --latency 0.6 --latency-table table.json -o fast.pt",
          {"MODEL"},
          1,
          add_measure_options,
          run_measure};
}

}  // namespace cpd::cli
