#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <cpd/core/error.h>
#include <cpd/distill/teacher.h>

#include <algorithm>
#include <string>

namespace cpd {
namespace {

Model frozen(Model model) {
  for (Parameter& parameter : model.parameters)
    parameter.tensor = parameter.tensor.detach().clone();
  return model;
}

int64_t bytes_of(const TeacherRun& run) {
  int64_t bytes = 0;
  for (const at::Tensor& output : run.outputs) bytes += static_cast<int64_t>(output.nbytes());
  for (const auto& [id, value] : run.values) bytes += static_cast<int64_t>(value.nbytes());
  return bytes;
}

}  // namespace

Teacher::Teacher(const Model& model, std::vector<ValueId> values, int64_t cache_bytes)
    : model_(frozen(model)),
      execution_(model_.graph),
      wanted_(std::move(values)),
      cache_bytes_(cache_bytes) {}

TeacherRun Teacher::run(const std::vector<at::Tensor>& inputs,
                        const std::vector<int64_t>& samples) {
  if (inputs.size() != model_.graph.inputs.size()) {
    throw Error("the teacher got " + std::to_string(inputs.size()) + " inputs", {},
                std::to_string(model_.graph.inputs.size()));
  }
  if (samples.empty() || cache_bytes_ <= 0) return run_whole(inputs);
  const int64_t batch = inputs.front().size(model_.free.batch_dim);
  if (static_cast<int64_t>(samples.size()) != batch) {
    throw Error("there are " + std::to_string(samples.size()) + " indices of samples", {},
                std::to_string(batch) + ", one for each sample of the batch");
  }
  std::vector<TeacherRun> runs;
  for (int64_t i = 0; i < batch; ++i) {
    const int64_t sample = samples[static_cast<size_t>(i)];
    const auto known = cache_.find(sample);
    runs.push_back(known != cache_.end() ? known->second : run_sample(inputs, i));
    if (known == cache_.end()) remember(sample, runs.back());
  }
  return joined(runs);
}

TeacherRun Teacher::run_whole(const std::vector<at::Tensor>& inputs) const {
  const at::NoGradGuard no_grad;
  const Graph& graph = model_.graph;
  Tensors values(graph.values.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[static_cast<size_t>(graph.inputs[i])] = inputs[i].detach();
  }
  for (const Parameter& parameter : model_.parameters) {
    if (parameter.value >= 0) values[static_cast<size_t>(parameter.value)] = parameter.tensor;
  }
  TeacherRun result;
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    const auto op = static_cast<OpId>(i);
    execution_.run_op(op, values);
    for (const ValueId id : graph.op(op).outputs) {
      const bool wanted = std::find(wanted_.begin(), wanted_.end(), id) != wanted_.end();
      if (wanted) result.values[id] = values[static_cast<size_t>(id)];
    }
    for (const ValueId dead : execution_.last_uses(op)) {
      values[static_cast<size_t>(dead)] = at::Tensor();
    }
  }
  for (const ValueId id : graph.output_values()) {
    result.outputs.push_back(values[static_cast<size_t>(id)]);
  }
  return result;
}

TeacherRun Teacher::run_sample(const std::vector<at::Tensor>& inputs, int64_t position) const {
  std::vector<at::Tensor> one;
  for (const at::Tensor& input : inputs) {
    one.push_back(input.narrow(model_.free.batch_dim, position, 1));
  }
  return run_whole(one);
}

void Teacher::check_batch(const TeacherRun& run) const {
  const int64_t dim = model_.free.batch_dim;
  const auto check = [dim](const at::Tensor& tensor, const std::string& what) {
    if (tensor.dim() > dim && tensor.size(dim) == 1) return;
    throw Error(what + " of the teacher has no dimension of samples, so it cannot be cached", {},
                "no cache, or values with the samples in dimension " + std::to_string(dim));
  };
  for (const at::Tensor& output : run.outputs) check(output, "an output");
  for (const auto& [id, value] : run.values) check(value, "value " + std::to_string(id));
}

void Teacher::remember(int64_t sample, const TeacherRun& run) {
  check_batch(run);
  const int64_t bytes = bytes_of(run);
  if (cached_bytes_ + bytes > cache_bytes_) return;
  cached_bytes_ += bytes;
  TeacherRun& kept = cache_[sample];
  // Copies: a result may be a small view of something large.
  for (const at::Tensor& output : run.outputs) kept.outputs.push_back(output.clone());
  for (const auto& [id, value] : run.values) kept.values[id] = value.clone();
}

TeacherRun Teacher::joined(const std::vector<TeacherRun>& runs) const {
  TeacherRun all;
  const auto join = [&](const auto& tensor_of) {
    std::vector<at::Tensor> parts;
    for (const TeacherRun& run : runs) parts.push_back(tensor_of(run));
    return at::cat(parts, model_.free.batch_dim);
  };
  for (size_t i = 0; i < runs.front().outputs.size(); ++i) {
    all.outputs.push_back(join([i](const TeacherRun& run) { return run.outputs[i]; }));
  }
  for (const ValueId id : wanted_) {
    all.values[id] = join([id](const TeacherRun& run) { return run.values.at(id); });
  }
  return all;
}

}  // namespace cpd
