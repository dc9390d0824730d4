#include <cpd/compensation/compensation.h>
#include <cpd/compensation/refit.h>
#include <cpd/compensation/side_by_side.h>
#include <cpd/core/error.h>
#include <cpd/cost/macs.h>
#include <cpd/cost/peak_memory.h>
#include <cpd/importance/calibration.h>

#include <algorithm>
#include <cmath>

namespace cpd {
namespace {

const std::vector<std::string>& type_names() {
  static const std::vector<std::string> names{"none", "bias", "recalibrate", "refit"};
  return names;
}

/// Bytes of what lives at the same time, for each sample.
double bytes_per_sample(const Model& model, const Graph& graph) {
  std::vector<int64_t> bytes;
  for (const Value& value : graph.values) {
    const bool lives = value.kind != ValueKind::kParameter;
    bytes.push_back(lives ? element_count(value.shape) * bytes_of(value.dtype) : 0);
  }
  const auto batch = model.example_inputs.front().size(model.free.batch_dim);
  return static_cast<double>(Lifetimes(graph).peak(bytes)) / static_cast<double>(batch);
}

/// Goes through the two networks once, or as often as they need to be seen.
class Compensating {
 public:
  Compensating(const Model& model, const Combing& combing, const Keep& keep,
               const CalibrationData& data, const CompensationOptions& options, const Rules& rules)
      : model_(model),
        combing_(combing),
        keep_(keep),
        options_(options),
        rules_(rules),
        data_(in_passes(model, within_memory(data, options.memory))) {
    result_.samples = samples_in(model, data_);
  }

  Compensation run() {
    fit();
    if (options_.type != CompensationType::kNone && options_.recalibrate.value_or(true)) {
      recalibrate();
    }
    return std::move(result_);
  }

 private:
  /// A dense and a pruned network live side by side.
  CalibrationData within_memory(const CalibrationData& data, int64_t memory) {
    const double dense = bytes_per_sample(model_, model_.graph);
    const auto fitting = [memory](double sample) {
      return static_cast<int64_t>(static_cast<double>(memory) / std::max(sample, 1.0));
    };
    const int64_t given = samples_in(model_, data);
    if (fitting(2 * dense) >= given) return data;  // without a look at the pruned one
    const CompactForm pruned(model_, combing_, keep_, rules_);
    const int64_t most = fitting(dense + bytes_per_sample(model_, pruned.execution().graph()));
    if (most >= given) return data;
    result_.notes.push_back("compensation used the first " + std::to_string(most) + " of " +
                            std::to_string(given) + " samples, to stay within " +
                            std::to_string(memory >> 20) + " MiB");
    if (most < kLeastSamples) {
      throw Error("only " + std::to_string(most) + " samples fit in the memory for compensation",
                  {.path = "compensation.memory"}, std::to_string(kLeastSamples) + " or more");
    }
    return first_samples(model_, data, most);
  }

  SideBySide sweep(const Model& changed) const {
    return SideBySide(model_, changed, combing_, keep_, rules_, data_);
  }

  std::string title(const char* step) const { return options_.quiet ? "" : step; }

  /// Of types that fit nothing, only the errors come out.
  void fit() {
    const bool fits =
        options_.type == CompensationType::kRefit || options_.type == CompensationType::kBias;
    SideBySide side = sweep(model_);
    Refit refit(side, options_, result_.notes);
    side.run({.looks_at = [&](const Op& op) { return fits && Refit::looks_at(op); },
              .visit = [&](OpId op) { refit.visit(op); }},
             fits ? title("compensate") : "");
    result_.values = side.values_set();
    result_.error_after = side.output_error();
    result_.error_before = fits ? side.output_error_before() : result_.error_after;
  }

  void recalibrate() {
    const Model changed = with_values(model_, result_.values);
    SideBySide side = sweep(changed);
    Recalibrate norms(side);
    side.run({.looks_at = Recalibrate::looks_at,
              .visit = [&](OpId op) { norms.visit(op); },
              .needs_outputs = false},
             title("recalibrate"));
    const double error = side.output_error();
    if (!options_.recalibrate.has_value() && error >= result_.error_after) {
      result_.notes.push_back(
          "batch norms keep their statistics: new ones would not bring the "
          "outputs nearer to the dense network's");
      return;
    }
    for (const auto& [name, tensor] : side.values_set()) result_.values[name] = tensor;
    result_.error_after = error;
  }

  const Model& model_;
  const Combing& combing_;
  const Keep& keep_;
  Compensation result_;
  const CompensationOptions& options_;
  const Rules& rules_;
  CalibrationData data_;
};

}  // namespace

const char* name_of(CompensationType type) {
  return type_names().at(static_cast<size_t>(type)).c_str();
}

void CompensationOptions::verify(const std::string& path) const {
  check_range(key_path(path, "ridge"), ridge, 0);
  check_range(key_path(path, "positions"), static_cast<double>(positions), 1);
  check_range(key_path(path, "memory"), static_cast<double>(memory), 1);
}

void read_json(const Json& json, const std::string& path, CompensationOptions& options) {
  if (json.is_string()) return read_json_name(json, path, type_names(), options.type);
  JsonObject object(json, path);
  if (const Json* type = object.take("type")) {
    read_json_name(*type, key_path(path, "type"), type_names(), options.type);
  }
  object.read("ridge", options.ridge)
      .read("positions", options.positions)
      .read("follow_sums", options.follow_sums)
      .read("recalibrate", options.recalibrate)
      .read("memory", options.memory)
      .read("seed", options.seed)
      .finish();
  options.verify(path);
}

void to_json(Json& json, const CompensationOptions& options) {
  json = Json{{"type", name_of(options.type)},  {"ridge", options.ridge},
              {"positions", options.positions}, {"follow_sums", options.follow_sums},
              {"memory", options.memory},       {"seed", options.seed}};
  if (options.recalibrate) json["recalibrate"] = *options.recalibrate;
}

Compensation compensate(const Model& model, const Combing& combing, const Keep& keep,
                        const CalibrationData& data, const CompensationOptions& options,
                        const Rules& rules) {
  options.verify("compensation");
  check_calibration(model, data, kLeastSamples);
  return Compensating(model, combing, keep, data, options, rules).run();
}

Model with_values(Model model, const std::map<std::string, at::Tensor>& values) {
  for (const auto& [name, tensor] : values) {
    const auto entry =
        std::find_if(model.parameters.begin(), model.parameters.end(),
                     [&n = name](const Parameter& parameter) { return parameter.name == n; });
    if (entry == model.parameters.end()) {
      throw Error("the network has no parameter '" + name + "'");
    }
    if (entry->tensor.sizes() != tensor.sizes()) {
      throw Error("'" + name + "' is given another shape than it has");
    }
    entry->tensor = tensor.detach().set_requires_grad(entry->tensor.requires_grad());
  }
  return model;
}

}  // namespace cpd
