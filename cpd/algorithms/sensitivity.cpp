#include <ATen/core/grad_mode.h>
#include <cpd/algorithms/sensitivity.h>
#include <cpd/core/error.h>
#include <cpd/core/progress.h>
#include <cpd/importance/calibration.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

namespace cpd {
namespace {

using Outputs = std::vector<std::vector<at::Tensor>>;  ///< by batch

Outputs outputs_of(DynamicModel& model, const CalibrationData& data) {
  const at::NoGradGuard no_grad;
  Outputs outputs;
  for (const auto& batch : data) outputs.push_back(model.forward(batch.inputs));
  return outputs;
}

double error_of(const Outputs& outputs, const Outputs& expected) {
  double difference = 0, size = 0;
  for (size_t b = 0; b < outputs.size(); ++b) {
    for (size_t i = 0; i < outputs[b].size(); ++i) {
      const at::Tensor right = expected[b][i].to(at::kDouble);
      difference += outputs[b][i].to(at::kDouble).sub(right).square().sum().item<double>();
      size += right.square().sum().item<double>();
    }
  }
  return size > 0 ? difference / size : difference;
}

/// Widths that are tried, descending, each once: all channels, and those of the options.
std::vector<int64_t> widths_of(const MutableChannelUnit& unit, const SensitivityOptions& options) {
  std::vector<int64_t> widths{unit.num_channels()};
  for (const double keep : options.keep) widths.push_back(unit.number_of(keep));
  if (unit.bounds().smallest() == 0) widths.push_back(0);  // a block goes as a whole
  std::sort(widths.begin(), widths.end(), std::greater<>());
  widths.erase(std::unique(widths.begin(), widths.end()), widths.end());
  return widths;
}

}  // namespace

void SensitivityOptions::verify(const std::string& path) const {
  check_range(key_path(path, "samples"), static_cast<double>(samples), 1);
  if (keep.empty()) {
    throw Error("there are no widths", {.path = key_path(path, "keep")}, "parts such as [0.5]");
  }
  for (const double part : keep) check_range(key_path(path, "keep"), part, 1e-9, 1);
}

void read_json(const Json& json, const std::string& path, SensitivityOptions& options) {
  JsonObject(json, path).read("keep", options.keep).read("samples", options.samples).finish();
  options.verify(path);
}

void to_json(Json& json, const SensitivityOptions& options) {
  json = Json{{"keep", options.keep}, {"samples", options.samples}};
}

double SensitivityCurve::at(int64_t width) const {
  double highest = errors.front();
  for (size_t i = 1; i < widths.size(); ++i) {
    const double before = highest;
    highest = std::max(highest, errors[i]);
    if (width < widths[i] && i + 1 < widths.size()) continue;
    const auto removed = static_cast<double>(widths[i - 1] - width);
    return before + (highest - before) * removed / static_cast<double>(widths[i - 1] - widths[i]);
  }
  return highest;
}

void SensitivityCurve::verify() const {
  const bool descends = std::is_sorted(widths.rbegin(), widths.rend()) && !widths.empty();
  const bool finite =
      std::all_of(errors.begin(), errors.end(), [](double error) { return std::isfinite(error); });
  if (descends && finite && errors.size() == widths.size()) return;
  throw Error("a curve of errors makes no sense", {},
              "widths that descend from all channels, and a number for each");
}

Sensitivity measure_sensitivity(ChannelMutator& mutator, const CalibrationData& data,
                                const SensitivityOptions& options) {
  options.verify("sensitivity");
  mutator.check_prunable();
  check_calibration(mutator.dense(), data);
  const CalibrationData some =
      in_passes(mutator.dense(), first_samples(mutator.dense(), data, options.samples));
  const Plan before = mutator.plan();
  const auto units = mutator.mutable_units();
  Choices whole;
  for (const auto* unit : units) whole[unit->name()] = unit->num_channels();
  mutator.set_choices(whole);
  const Outputs expected = outputs_of(mutator.model(), some);

  std::optional<Progress> progress;
  if (!options.quiet) progress.emplace("sensitivity", static_cast<int64_t>(units.size()));
  Sensitivity result;
  int64_t done = 0;
  for (const auto* unit : units) {
    SensitivityCurve& curve = result[unit->name()];
    curve.widths = widths_of(*unit, options);
    curve.errors = {0};  // with all channels
    for (size_t i = 1; i < curve.widths.size(); ++i) {
      mutator.set_choices({{unit->name(), curve.widths[i]}});
      curve.errors.push_back(error_of(outputs_of(mutator.model(), some), expected));
    }
    mutator.set_choices({{unit->name(), unit->num_channels()}});
    curve.verify();
    if (progress) progress->update(++done);
  }
  if (progress) progress->finish();
  mutator.set_plan(before);
  return result;
}

Allocator by_sensitivity(const Allocator& allocator, Sensitivity curves) {
  return {allocator.name, [inner = allocator.allocate,
                           curves = std::move(curves)](const AllocationProblem& problem) {
            AllocationProblem measured = problem;
            for (auto& unit : measured.units) {
              const auto curve = curves.find(unit.name);
              if (curve == curves.end()) continue;
              std::vector<double> losses;
              for (int64_t width = unit.bounds.of; width >= 0; --width) {
                losses.push_back(curve->second.at(width));
              }
              unit.set_losses(std::move(losses));
            }
            return inner(measured);
          }};
}

}  // namespace cpd
