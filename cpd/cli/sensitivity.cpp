#include <cpd/algorithms/scoring.h>
#include <cpd/algorithms/sensitivity.h>
#include <cpd/cli/arguments.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/core/text.h>
#include <cpd/importance/calibration.h>
#include <cpd/plan/choice.h>

#include <cmath>

namespace cpd::cli {
namespace {

void add_sensitivity_options(po::options_description& options) {
  add_model_options(options);
  add_data_options(options);
  options.add_options()("importance", value("NAME")->default_value("l1"),
                        "which channels of a unit go first")(
      "keep", value("R,R,...")->default_value("0.9,0.75,0.5,0.25,0.1"),
      "widths that are tried, as parts of a unit's channels");
  add_output_options(options, "the curves as JSON,");
}

SensitivityOptions sensitivity_options(const po::variables_map& values, const CalibrationData& data,
                                       const Model& model) {
  SensitivityOptions options;
  options.samples = samples_in(model, data);
  options.keep.clear();
  for (const auto& text : split(text_of(values, "keep"))) {
    options.keep.push_back(as_usage("keep", [&] { return parse_amount(text).value; }));
  }
  as_usage("keep", [&] { options.verify(""); });
  return options;
}

std::string curves_text(const ChannelMutator& mutator, const Sensitivity& curves,
                        const SensitivityOptions& options) {
  std::vector<std::string> head{"unit", "channels"};
  for (const double keep : options.keep) head.push_back(percent_text(keep));
  Table table(head);
  for (const auto* unit : mutator.mutable_units()) {
    std::vector<std::string> row{unit->name(), std::to_string(unit->num_channels())};
    const SensitivityCurve& curve = curves.at(unit->name());
    for (const double keep : options.keep) {
      row.push_back(percent_text(std::sqrt(curve.at(unit->number_of(keep)))));
    }
    table.row(row);
  }
  return "what the outputs are off by when one unit alone keeps part of its channels\n" +
         table.text();
}

std::string curves_json(const Sensitivity& curves) {
  Json json = Json::object();
  for (const auto& [name, curve] : curves) {
    json[name] = {{"widths", curve.widths}, {"errors", curve.errors}};
  }
  return json.dump(1);
}

int run_sensitivity(const po::variables_map& values) {
  check_outputs(values, {"output"});
  if (!given(values, "data")) throw UsageError("--data is missing: images to look at outputs with");
  MutatorOptions how;
  as_usage("importance", [&] { how.importance = text_of(values, "importance"); });
  ChannelMutator mutator(read_model(values), how);
  const CalibrationData data = calibration_data(values, image_shape(mutator.dense()));
  const SensitivityOptions options = sensitivity_options(values, data, mutator.dense());
  score_channels(mutator, data);
  const Sensitivity curves = measure_sensitivity(mutator, data, options);
  deliver(values, curves_text(mutator, curves, options), [&] { return curves_json(curves); });
  return 0;
}

}  // namespace

Command sensitivity_command() {
  return {"sensitivity",
          "MODEL",
          "Shows what the outputs are off by when one unit after another keeps fewer channels.",
          "cpd sensitivity zoo:fashion --data fashion-mnist --images 32",
          {"MODEL"},
          1,
          add_sensitivity_options,
          run_sensitivity};
}

}  // namespace cpd::cli
