#include <cpd/core/error.h>
#include <cpd/cost/cost.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace cpd {
namespace {

int64_t volume(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

int64_t bytes_of(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
    case DType::kInt8:
    case DType::kBool: return 1;
    case DType::kInt16:
    case DType::kFloat16:
    case DType::kBFloat16: return 2;
    case DType::kInt32:
    case DType::kFloat32: return 4;
    case DType::kComplex128: return 16;
    default: return 8;
  }
}

using ShapeOf = std::function<Shape(ValueId)>;

int64_t convolution_macs(const Op& op, const ShapeOf& shape) {
  const Shape weight = shape(op.tensor("weight"));
  const int64_t kernel = volume(Shape(weight.begin() + 1, weight.end()));
  // Each output of a convolution reads one block of the weight; each input of a transposed one
  // writes one.
  const ValueId counted = op.boolean("transposed") ? op.tensor("input") : op.outputs.front();
  return volume(shape(counted)) * kernel;
}

int64_t matmul_macs(const Op& op, const ShapeOf& shape) {
  std::vector<Shape> operands;
  for (ValueId value : op.operands()) operands.push_back(shape(value));
  const Shape& last = operands[operands.size() - 2];
  return volume(shape(op.outputs.front())) * last.back();
}

int64_t attention_macs(const Op& op, const ShapeOf& shape) {
  const Shape query = shape(op.tensor("query")), key = shape(op.tensor("key"));
  const Shape output = shape(op.outputs.front());
  const int64_t keys = key[key.size() - 2];
  return volume(query) * keys + volume(output) * keys;
}

int64_t recurrent_macs(const Op& op, const ShapeOf& shape) {
  const Shape input = shape(op.operands().front());
  const int64_t steps = input[0] * input[1];
  int64_t macs = 0;
  for (ValueId weight : op.tensors("params")) {
    const Shape extent = shape(weight);
    if (extent.size() == 2) macs += steps * volume(extent);
  }
  return macs;
}

/// Every index once: the sizes of all letters of the equation.
int64_t einsum_macs(const Op& op, const ShapeOf& shape) {
  const std::string equation = std::get<std::string>(op.arg("equation"));
  const auto operands = op.tensors("tensors");
  if (operands.size() < 2 || equation.find('.') != std::string::npos) return 0;
  std::map<char, int64_t> sizes;
  size_t operand = 0, dim = 0;
  for (char c : equation) {
    if (c == '-') break;
    if (c == ',') {
      ++operand;
      dim = 0;
    } else if (c != ' ') {
      const int64_t size = shape(operands[operand])[dim++];
      sizes[c] = std::max(sizes[c], size);
    }
  }
  int64_t macs = 1;
  for (const auto& [letter, size] : sizes) macs *= size;
  return macs;
}

int64_t count(const Op& op, const ShapeOf& shape) {
  if (op.kind == "aten::convolution") return convolution_macs(op, shape);
  if (op.kind == "aten::linear") {
    return volume(shape(op.outputs.front())) * shape(op.tensor("weight")).back();
  }
  if (op.kind == "aten::matmul" || op.kind == "aten::bmm" || op.kind == "aten::mm" ||
      op.kind == "aten::baddbmm" || op.kind == "aten::addmm") {
    return matmul_macs(op, shape);
  }
  if (op.kind == "aten::scaled_dot_product_attention") return attention_macs(op, shape);
  if (op.kind == "aten::lstm" || op.kind == "aten::gru") return recurrent_macs(op, shape);
  if (op.kind == "aten::einsum") return einsum_macs(op, shape);
  return 0;
}

/// Bytes of the values that live at the same time, at the worst op.
int64_t peak_bytes(const Graph& graph, const ShapeOf& shape) {
  std::vector<OpId> last(graph.values.size(), -1);
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    for (ValueId operand : graph.ops[i].operands()) last[static_cast<size_t>(operand)] = static_cast<OpId>(i);
  }
  for (ValueId output : graph.output_values()) last[static_cast<size_t>(output)] = static_cast<OpId>(graph.ops.size());
  const auto bytes = [&](ValueId value) {
    const Value& entry = graph.value(value);
    return entry.kind == ValueKind::kParameter ? 0 : volume(shape(value)) * bytes_of(entry.dtype);
  };
  int64_t live = 0;
  for (ValueId input : graph.inputs) live += bytes(input);
  int64_t peak = live;
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    for (ValueId output : graph.ops[i].outputs) live += bytes(output);
    peak = std::max(peak, live);
    auto operands = graph.ops[i].operands();
    std::sort(operands.begin(), operands.end());
    operands.erase(std::unique(operands.begin(), operands.end()), operands.end());
    for (ValueId operand : operands) {
      if (last[static_cast<size_t>(operand)] == static_cast<OpId>(i)) live -= bytes(operand);
    }
  }
  return peak;
}

}  // namespace

int64_t op_macs(const Graph& graph, const Op& op) {
  return count(op, [&](ValueId value) { return graph.value(value).shape; });
}

int64_t op_macs(const Graph&, const Op& op, const ShapeOf& shape) { return count(op, shape); }

struct CostModel::State {
  const Model* model;
  const Combing* combing;
  int64_t batch = 1;
  std::vector<OpId> products;  ///< ops that have MACs
};

CostModel::CostModel(const Model& model, const Combing& combing)
    : state_(std::make_unique<State>(State{&model, &combing, 1, {}})) {
  const auto batch_dim = static_cast<size_t>(model.free.batch_dim);
  if (!model.graph.inputs.empty()) {
    const Shape& input = model.graph.value(model.graph.inputs.front()).shape;
    if (batch_dim < input.size()) state_->batch = std::max<int64_t>(1, input[batch_dim]);
  }
  for (size_t i = 0; i < model.graph.ops.size(); ++i) {
    if (op_macs(model.graph, model.graph.ops[i]) > 0) state_->products.push_back(static_cast<OpId>(i));
  }
}

CostModel::~CostModel() = default;

int64_t CostModel::macs(const KeptSizes& sizes) const {
  const Graph& graph = state_->model->graph;
  const ShapeOf shape = [&](ValueId value) { return sizes.shape(graph, value); };
  int64_t total = 0;
  for (OpId op : state_->products) total += count(graph.op(op), shape);
  return total / state_->batch;
}

int64_t CostModel::parameters(const KeptSizes& sizes) const {
  int64_t total = 0;
  for (const auto& parameter : state_->model->parameters) {
    if (parameter.role != ParameterRole::kParameter) continue;
    total += parameter.value < 0 ? parameter.tensor.numel()
                                 : volume(sizes.shape(state_->model->graph, parameter.value));
  }
  return total;
}

std::vector<OpCost> CostModel::by_op(const Keep& keep) const {
  const KeptSizes sizes(*state_->combing, keep);
  const Graph& graph = state_->model->graph;
  std::vector<OpCost> costs;
  for (OpId op : state_->products) {
    const int64_t macs =
        count(graph.op(op), [&](ValueId value) { return sizes.shape(graph, value); });
    costs.push_back({op, macs / state_->batch});
  }
  return costs;
}

Cost CostModel::of(const Keep& keep) const {
  const KeptSizes sizes(*state_->combing, keep);
  const Graph& graph = state_->model->graph;
  Cost cost;
  cost.macs = macs(sizes);
  cost.parameters = parameters(sizes);
  for (const auto& parameter : state_->model->parameters) {
    const int64_t elements = parameter.value < 0
                                 ? parameter.tensor.numel()
                                 : volume(sizes.shape(graph, parameter.value));
    cost.weight_bytes += elements * static_cast<int64_t>(parameter.tensor.element_size());
  }
  cost.activation_bytes =
      peak_bytes(graph, [&](ValueId value) { return sizes.shape(graph, value); }) / state_->batch;
  return cost;
}

Cost CostModel::dense() const { return of(Keep(*state_->combing)); }

}  // namespace cpd
