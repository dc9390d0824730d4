#include <ATen/ops/isfinite.h>
#include <cpd/core/error.h>
#include <cpd/cost/macs.h>
#include <cpd/cost/peak_memory.h>
#include <cpd/importance/calibration.h>

#include <algorithm>
#include <sstream>

namespace cpd {
namespace {

bool is_finite(const at::Tensor& tensor) {
  return !tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>();
}

void check_weights(const Model& model) {
  for (const auto& parameter : model.parameters) {
    if (parameter.role == ParameterRole::kConstant || is_finite(parameter.tensor.detach()))
      continue;
    throw Error("'" + parameter.name + "' holds values that are not finite", {},
                "weights without NaN or infinity");
  }
}

std::string sizes_text(at::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

void check_input(const Model& model, size_t i, const at::Tensor& tensor) {
  const Value& value = model.graph.value(model.graph.inputs[i]);
  const std::string name = "input '" + value.name + "' of the calibration data";
  bool fits = tensor.dim() == static_cast<int64_t>(value.shape.size());
  for (size_t d = 0; fits && d < value.shape.size(); ++d) {
    const bool free =
        i < model.free.dims.size() && d < model.free.dims[i].size() && model.free.dims[i][d];
    fits = free || tensor.size(static_cast<int64_t>(d)) == value.shape[d];
  }
  if (!fits) {
    throw Error(name + " has the sizes " + sizes_text(tensor.sizes()), {},
                "sizes like " + sizes_text(value.shape) +
                    (model.free.note.empty() ? "" : "; " + model.free.note));
  }
  if (!is_finite(tensor)) {
    throw Error(name + " holds values that are not finite", {}, "data without NaN or infinity");
  }
}

/// Of all values that the network computes.
double bytes_per_sample(const Model& model) {
  double bytes = 0;
  for (const Value& value : model.graph.values) {
    if (value.kind != ValueKind::kResult) continue;
    bytes += static_cast<double>(element_count(value.shape) * bytes_of(value.dtype));
  }
  return bytes / static_cast<double>(model.example_inputs.front().size(model.free.batch_dim));
}

CalibrationBatch samples_of(const Model& model, const CalibrationBatch& batch, int64_t first,
                            int64_t count) {
  CalibrationBatch part = batch;
  for (auto& input : part.inputs) input = input.narrow(model.free.batch_dim, first, count);
  if (part.labels.defined()) part.labels = part.labels.narrow(0, first, count);
  return part;
}

}  // namespace

int64_t samples_in(const Model& model, const CalibrationBatch& batch) {
  return batch.inputs.front().size(model.free.batch_dim);
}

int64_t samples_in(const Model& model, const CalibrationData& data) {
  int64_t samples = 0;
  for (const auto& batch : data) samples += samples_in(model, batch);
  return samples;
}

CalibrationData first_samples(const Model& model, const CalibrationData& data, int64_t count) {
  CalibrationData result;
  for (const auto& batch : data) {
    const int64_t taken = std::min(count, samples_in(model, batch));
    if (taken <= 0) break;
    result.push_back(samples_of(model, batch, 0, taken));
    count -= taken;
  }
  return result;
}

CalibrationData in_passes(const Model& model, const CalibrationData& data, int64_t bytes) {
  if (!model.free.batch) return data;
  const double sample = std::max(1.0, bytes_per_sample(model));
  const auto most = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(bytes) / sample));
  CalibrationData passes;
  for (const auto& batch : data) {
    const int64_t samples = samples_in(model, batch);
    // Labels that are not one for each sample can only be wrong, or go with the whole batch.
    const bool one_each = !batch.labels.defined() || batch.labels.size(0) == samples;
    if (samples <= most || !one_each) {
      passes.push_back(batch);
      continue;
    }
    for (int64_t first = 0; first < samples; first += most) {
      passes.push_back(samples_of(model, batch, first, std::min(most, samples - first)));
    }
  }
  return passes;
}

void check_calibration(const Model& model, const CalibrationData& data, int64_t at_least) {
  for (const auto& batch : data) {
    if (batch.inputs.size() != model.graph.inputs.size()) {
      throw Error("a calibration batch has " + std::to_string(batch.inputs.size()) + " tensors", {},
                  std::to_string(model.graph.inputs.size()) + ", one for each input");
    }
    for (size_t i = 0; i < batch.inputs.size(); ++i) check_input(model, i, batch.inputs[i]);
  }
  const int64_t samples = samples_in(model, data);
  if (samples == 0) throw Error("there is no calibration data", {}, "some samples");
  if (samples < at_least) {
    throw Error("there are " + std::to_string(samples) + " calibration samples", {},
                std::to_string(at_least) + " or more");
  }
  check_weights(model);
}

}  // namespace cpd
