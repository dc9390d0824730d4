#include <ATen/ops/tensor.h>
#include <cpd/core/error.h>
#include <cpd/model/output_classes.h>

#include <algorithm>

namespace cpd {
namespace {

[[noreturn]] void refuse(const std::string& problem, const Op* op = nullptr) {
  Where where;
  if (op != nullptr) where = {op->kind, op->where.text(), ""};
  throw Error("classes cannot be cut: " + problem, where,
              "a network that ends in a linear layer or a convolution of its own");
}

/// The layer that computes the classes.
const Op& last_layer(const Model& model) {
  const auto outputs = model.graph.output_values();
  if (outputs.size() != 1) {
    refuse("the network has " + std::to_string(outputs.size()) + " outputs");
  }
  const OpId producer = model.graph.value(outputs.front()).producer;
  if (producer < 0) refuse("the network gives its input");
  const Op& op = model.graph.op(producer);
  const bool convolution =
      op.kind == "aten::convolution" && !op.boolean("transposed") && op.integer("groups") == 1;
  if (op.kind != "aten::linear" && !convolution) refuse("the network ends in another op", &op);
  return op;
}

/// Is a parameter read by this op alone?
bool is_own(const Model& model, ValueId value) {
  int64_t readers = 0;
  for (const Op& op : model.graph.ops) {
    const auto operands = op.operands();
    readers += std::count(operands.begin(), operands.end(), value);
  }
  return readers == 1;
}

}  // namespace

Model with_output_classes(Model model, const std::vector<int64_t>& kept) {
  const Op& layer = last_layer(model);
  const ValueId output = layer.outputs.front();
  const int64_t classes = model.graph.value(layer.tensor("weight")).shape.front();
  for (const int64_t number : kept) {
    if (number < 0 || number >= classes) {
      throw Error("the network has no class " + std::to_string(number), {},
                  "0 to " + std::to_string(classes - 1));
    }
  }
  const at::Tensor rows = at::tensor(kept, at::kLong);
  for (const char* name : {"weight", "bias"}) {
    const ValueId value = layer.tensor(name);
    if (value < 0) continue;
    if (model.graph.value(value).kind != ValueKind::kParameter || !is_own(model, value)) {
      refuse(std::string("its ") + name + " has another use too", &layer);
    }
    Parameter& parameter = model.parameter(value);
    parameter.tensor = parameter.tensor.detach().index_select(0, rows).set_requires_grad(
        parameter.tensor.requires_grad());
    model.graph.values[static_cast<size_t>(value)].shape = parameter.tensor.sizes().vec();
  }
  Shape& shape = model.graph.values[static_cast<size_t>(output)].shape;
  shape[layer.kind == "aten::linear" ? shape.size() - 1 : 1] = static_cast<int64_t>(kept.size());
  model.verify();
  return model;
}

}  // namespace cpd
