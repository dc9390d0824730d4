#include <c10/core/ScalarType.h>
#include <cpd/dynamic_ops/elementwise.h>

#include <numeric>

namespace cpd {

std::optional<LayerText> DynamicPReLU::describe() const {
  LayerText text;
  text.type = "DynamicPReLU";
  const ValueId weight = op().tensor("weight");
  const auto& sizes = shape(weight);
  text.attributes = "num_parameters=" + std::to_string(sizes.empty() ? 1 : sizes[0]);
  if (!sizes.empty() && sizes[0] > 1) text.ports = {{"num_parameters", weight, 0}};
  return text;
}

std::optional<LayerText> DynamicEmbedding::describe() const {
  const ValueId weight = op().tensor("weight");
  const auto& sizes = shape(weight);
  LayerText text;
  text.type = "DynamicEmbedding";
  text.attributes = std::to_string(sizes[0]) + ", " + std::to_string(sizes[1]);
  text.ports = {{"embedding_dim", weight, 1}};
  return text;
}

void GuardedOp::run_masked(OpRun& run) const {
  std::map<ValueId, at::Tensor> operands;
  for (const ValueId id : run.op().operands()) {
    const auto& tensor = run.value(id);
    // A half is inside the domain of all of these functions and no singular point of any gradient.
    operands[id] = run.masks().masked(tensor, id, tensor.is_floating_point() ? 0.5 : 1.0);
  }
  run.run_with(operands);
}

std::vector<int> DynamicReduction::reduced_dims() const {
  const int dims = rank(op().operands().front());
  std::vector<int> reduced;
  if (op().has("dim")) {
    for (const int64_t dim : op().integers("dim")) {
      reduced.push_back(static_cast<int>(dim < 0 ? dim + dims : dim));
    }
  }
  if (reduced.empty()) {  // no dimensions named: all
    reduced.resize(static_cast<size_t>(dims));
    std::iota(reduced.begin(), reduced.end(), 0);
  }
  return reduced;
}

void DynamicReduction::run_masked(OpRun& run) const {
  const ValueId input = run.op().operands().front();
  const auto dims = reduced_dims();
  run.run_with({{input, run.masks().masked(run.value(input), input, dims)}});
  if (run.op().kind != "aten::mean") return;
  double share = 1;
  for (const int dim : dims) {
    share *= static_cast<double>(shape(input)[static_cast<size_t>(dim)]) /
             static_cast<double>(run.masks().kept(input, dim));
  }
  const ValueId output = run.op().outputs.front();
  if (share != 1) run.set(output, run.value(output).mul(share));
}

}  // namespace cpd
