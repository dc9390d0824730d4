#include <cpd/cli/arguments.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/comb/compaction.h>
#include <cpd/core/json.h>

namespace cpd::cli {
namespace {

void add_explain_options(po::options_description& options) {
  add_model_options(options);
  add_output_options(options);
}

int run_explain(const po::variables_map& values) {
  check_outputs(values, {"output"});
  const Model model = read_model(values);
  const std::string layer = text_of(values, "LAYER_A"), other = text_of(values, "LAYER_B");
  const std::string text = explain(model, comb(model), layer, other);
  deliver(values, text, [&] {
    Json layers = Json::array({layer});
    if (!other.empty()) layers.push_back(other);
    auto lines = split(text, '\n');
    if (lines.back().empty()) lines.pop_back();
    return json_text(Json{{"layers", layers}, {"lines", lines}});
  });
  return 0;
}

}  // namespace

Command explain_command() {
  return {"explain",
          "MODEL LAYER_A [LAYER_B]",
          "Tells why two layers must be pruned together, or why one cannot be pruned.",
          "cpd explain zoo:resnet20 layer1.0.conv2 layer1.1.conv2\n"
          "cpd explain zoo:resnet20 linear",
          {"MODEL", "LAYER_A", "LAYER_B"},
          2,
          add_explain_options,
          run_explain};
}

}  // namespace cpd::cli
