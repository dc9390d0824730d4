#include <ATen/Parallel.h>
#include <ATen/ops/argmax.h>
#include <cpd/cli/arguments.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/evaluation.h>
#include <cpd/cli/figures.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/core/text.h>
#include <cpd/model/reference.h>

#include <cmath>
#include <optional>

namespace cpd::cli {
namespace {

void add_compare_options(po::options_description& options) {
  add_model_options(options);
  add_data_options(options);
  add_output_options(options);
}

/// How far the outputs of two networks on the same inputs are apart.
struct Distance {
  double relative = 0;                ///< max|a - b| / max|b|; infinite if shapes differ
  std::optional<double> agreement{};  ///< fraction of samples of which both find the same class
};

Distance distance_of(const Model& dense, const Model& pruned) {
  const auto expected = run_graph(dense, dense.example_inputs).outputs;
  const auto actual = run_graph(pruned, dense.example_inputs).outputs;
  Distance distance;
  distance.relative = difference(actual, expected);
  const at::Tensor& scores = expected.front();
  if (std::isfinite(distance.relative) && scores.dim() == 2 && scores.is_floating_point()) {
    const at::Tensor same = actual.front().argmax(1).eq(scores.argmax(1));
    distance.agreement = same.to(at::kDouble).mean().item<double>();
  }
  return distance;
}

std::string distance_text(const Distance& distance) {
  if (!std::isfinite(distance.relative)) return "outputs differ in number or shape\n";
  std::string text = "outputs differ by " + percent_text(distance.relative) +
                     " of the largest one on random inputs";
  if (distance.agreement) text += "; " + percent_text(*distance.agreement) + " same classes";
  return text + "\n";
}

Json distance_json(const Distance& distance) {
  Json json = Json::object();
  json["relative"] = std::isfinite(distance.relative) ? Json(distance.relative) : Json();
  if (distance.agreement) json["agreement"] = *distance.agreement;
  return json;
}

/// The accuracy of a file on the images that the options name.
double accuracy_of(const po::variables_map& values, const std::string& path,
                   const ImageShape& shape) {
  const DataOptions options = data_options(values);
  Loader loader = evaluation_loader(open_dataset(options, "test"), options, shape);
  return evaluate(*load_network(path, seed_of(values)), loader).accuracy;
}

int run_compare(const po::variables_map& values) {
  check_outputs(values, {"output"});
  const bool with_data = !data_options(values).data.empty();
  const std::string dense_path = text_of(values, "DENSE"), pruned_path = text_of(values, "PRUNED");
  const Model dense = read_model_file(dense_path, values, pruned_path);
  const Model pruned = read_model_file(pruned_path, values, dense_path);
  Figures before = figures_of(dense, dense_path, "dense");
  Figures after = figures_of(pruned, pruned_path, "pruned");
  if (with_data) {
    before.accuracy = accuracy_of(values, dense_path, image_shape(dense));
    after.accuracy = accuracy_of(values, pruned_path, image_shape(pruned));
  }
  const Distance distance = distance_of(dense, pruned);
  const std::string text =
      figures_table({before, after}) + "\n" + distance_text(distance) + threads_text() + "\n";
  deliver(values, text, [&] {
    return json_text(Json{{"dense", figures_json(before)},
                          {"pruned", figures_json(after)},
                          {"outputs", distance_json(distance)},
                          {"threads", at::get_num_threads()}});
  });
  return 0;
}

}  // namespace

Command compare_command() {
  return {"compare",
          "DENSE PRUNED",
          "Shows two networks side by side: sizes, latency, and how far their outputs are apart.",
          "cpd prune zoo:resnet20 --macs 0.5 -o small.pt\n"
          "cpd compare zoo:resnet20 small.pt",
          {"DENSE", "PRUNED"},
          2,
          add_compare_options,
          run_compare};
}

}  // namespace cpd::cli
