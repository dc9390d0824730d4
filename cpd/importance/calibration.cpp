#include <ATen/ops/isfinite.h>
#include <cpd/core/error.h>
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
    CalibrationBatch part = batch;
    for (auto& input : part.inputs) input = input.narrow(model.free.batch_dim, 0, taken);
    if (part.labels.defined()) part.labels = part.labels.narrow(0, 0, taken);
    result.push_back(std::move(part));
    count -= taken;
  }
  return result;
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
