#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <cpd/cli/figures.h>
#include <cpd/core/text.h>
#include <cpd/cost/cost.h>
#include <cpd/cost/measure.h>

#include <filesystem>
#include <numeric>

namespace cpd::cli {
namespace {

constexpr int64_t kBatches[] = {1, 16};

/// The network with example inputs of another batch size.
Model at_batch(Model model, int64_t batch) {
  for (auto& input : model.example_inputs) {
    const int64_t dim = model.free.batch_dim;
    if (dim >= input.dim()) continue;
    input = input.index_select(dim, at::arange(batch, at::kLong).remainder(input.size(dim)));
  }
  return model;
}

/// The whole network as the smaller graph that measuring takes.
Compaction whole(const Model& model) {
  Compaction compaction;
  compaction.graph = model.graph;
  compaction.dense_ops.resize(model.graph.ops.size());
  std::iota(compaction.dense_ops.begin(), compaction.dense_ops.end(), 0);
  return compaction;
}

double seconds_of(const Model& model) {
  MeasureOptions options;
  options.repeats = 15;
  return measure_network(model, whole(model), options);
}

}  // namespace

Figures figures_of(const Model& model, const std::string& path, const std::string& name) {
  const Cost cost = cost_of(model, whole(model));
  Figures figures;
  figures.name = name;
  figures.macs = cost.macs;
  figures.parameters = cost.parameters;
  figures.memory = cost.memory(1);
  std::error_code missing;
  const auto bytes = std::filesystem::file_size(path, missing);
  if (!missing) figures.bytes = static_cast<int64_t>(bytes);
  if (model.free.batch) {
    for (int64_t batch : kBatches) figures.latency[batch] = seconds_of(at_batch(model, batch));
  } else {
    figures.latency[batch_of(model)] = seconds_of(model);
  }
  return figures;
}

std::string figures_table(const std::vector<Figures>& columns) {
  std::vector<std::string> titles = {""};
  for (const auto& column : columns) titles.push_back(column.name);
  titles.emplace_back("kept");
  Table table(titles);
  const auto row = [&](const std::string& name, const auto& number, const auto& text, bool ratio) {
    std::vector<std::string> cells = {name};
    bool all = true, any = false;
    for (const auto& column : columns) {
      const std::optional<double> value = number(column);
      cells.push_back(value ? text(*value) : "-");
      all = all && value.has_value();
      any = any || value.has_value();
    }
    if (!any) return;
    if (all && ratio) {
      cells.push_back(percent_text(*number(columns.back()) / *number(columns.front())));
    }
    table.row(cells);
  };
  using Number = std::optional<double>;
  const auto of = [](auto member) {
    return [member](const Figures& f) { return Number(static_cast<double>(f.*member)); };
  };
  row(
      "accuracy", [](const Figures& f) { return f.accuracy; }, percent_text, false);
  row("parameters", of(&Figures::parameters), count_text, true);
  row("MACs", of(&Figures::macs), count_text, true);
  row("memory", of(&Figures::memory), bytes_text, true);
  row(
      "file size",
      [](const Figures& f) { return f.bytes ? Number(static_cast<double>(*f.bytes)) : Number(); },
      bytes_text, true);
  for (const auto& [batch, seconds] : columns.front().latency) {
    row(
        "latency, batch " + std::to_string(batch),
        [batch = batch](const Figures& f) {
          const auto found = f.latency.find(batch);
          return found == f.latency.end() ? Number() : Number(found->second);
        },
        seconds_text, true);
  }
  return table.text();
}

Json figures_json(const Figures& figures) {
  Json json = {
      {"macs", figures.macs}, {"parameters", figures.parameters}, {"memory", figures.memory}};
  if (figures.bytes) json["bytes"] = *figures.bytes;
  json["latency"] = Json::object();
  for (const auto& [batch, seconds] : figures.latency) {
    json["latency"][std::to_string(batch)] = seconds;
  }
  if (figures.accuracy) json["accuracy"] = *figures.accuracy;
  return json;
}

std::string threads_text() {
  const int threads = at::get_num_threads();
  return "latency on " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

}  // namespace cpd::cli
