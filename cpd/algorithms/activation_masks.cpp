#include <ATen/ops/ones.h>
#include <cpd/algorithms/activation_masks.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/distill/values.h>
#include <cpd/graph/refs.h>
#include <cpd/model/scalar_type.h>

#include <algorithm>
#include <map>

namespace cpd {
namespace {

const std::string kEnding = ".activation_mask";

/// The layers that are meant, by the value that they give: of several that give the same one, the
/// innermost.
std::map<ValueId, std::string> outputs_of(const Model& model,
                                          const std::vector<std::string>& patterns) {
  std::map<ValueId, std::string> outputs;
  const std::vector<std::string> names = layer_names(model);
  for (const auto& pattern : patterns) {
    bool any = false;
    for (const auto& name : names) {
      if (!matches(pattern, name)) continue;
      any = true;
      std::string& layer = outputs[find_value(model, name)];
      if (layer.size() < name.size()) layer = name;
    }
    if (!any) {
      throw Error("no layer is meant by '" + pattern + "'" + suggestion(pattern, names), {},
                  "paths of modules such as `layer3`, or a pattern");
    }
  }
  return outputs;
}

at::Tensor ones_for(const Model& model, const Value& value, const std::string& layer) {
  const auto batch = static_cast<size_t>(model.free.batch_dim);
  const int64_t samples = model.example_inputs.front().size(model.free.batch_dim);
  const bool real = at::isFloatingType(scalar_type_of(value.dtype));
  if (!real || value.shape.size() <= batch || value.shape[batch] != samples) {
    throw Error("the layer '" + layer + "' gives no real numbers for each sample", {},
                "a layer whose output begins with the batch");
  }
  Shape shape = value.shape;
  shape[batch] = 1;
  return at::ones(shape, scalar_type_of(value.dtype));
}

/// Multiplies a value by a new entry of the table; returns the product.
ValueId masked(Model& model, ValueId value, const std::string& layer) {
  Graph& graph = model.graph;
  const Op& producer = graph.ops.back();
  const at::Tensor mask = ones_for(model, graph.value(value), layer);
  const std::string name = layer + kEnding;
  const DType dtype = graph.value(value).dtype;
  const ValueId entry =
      graph.add_value({name, ValueKind::kParameter, dtype, mask.sizes().vec(), -1});
  model.parameters.push_back({name, {}, ParameterRole::kBuffer, entry, mask});
  const ValueId product =
      graph.add_value({"", ValueKind::kResult, dtype, graph.value(value).shape, -1});
  graph.add_op({"aten::mul",
                "Tensor",
                {{"self", ValueRef{value}}, {"other", ValueRef{entry}}},
                {product},
                producer.where,
                producer.scope});
  return product;
}

/// True if the mask is the same all along a dimension.
bool is_even(const at::Tensor& mask, int64_t dim) {
  return mask.eq(mask.narrow(dim, 0, 1)).all().item<bool>();
}

}  // namespace

bool is_activation_mask(const std::string& name) { return name.ends_with(kEnding); }

std::string masked_layer(const std::string& name) {
  return name.substr(0, name.size() - kEnding.size());
}

Model with_activation_masks(const Model& model, const std::vector<std::string>& layers) {
  const auto outputs = outputs_of(model, layers);
  Model result = model;
  result.graph.ops.clear();
  std::map<ValueId, ValueId> replaced;
  const auto replace = [&replaced](ValueId& id) {
    const auto found = replaced.find(id);
    if (found != replaced.end()) id = found->second;
  };
  for (Op op : model.graph.ops) {
    for_each_ref(op, replace);
    const std::vector<ValueId> made = op.outputs;
    result.graph.add_op(std::move(op));
    for (const ValueId value : made) {
      const auto layer = outputs.find(value);
      if (layer != outputs.end()) {
        replaced[value] = masked(result, value, layer->second);
      }
    }
  }
  for_each_ref(result.graph.output, replace);
  result.verify();
  return result;
}

Model with_masks_baked(const Model& model) {
  Model result = model;
  for (auto& entry : result.parameters) {
    if (!is_activation_mask(entry.name)) continue;
    entry.role = ParameterRole::kConstant;
    at::Tensor mask = entry.tensor.detach();
    for (int64_t d = 0; d < mask.dim(); ++d) {
      if (is_even(mask, d)) mask = mask.narrow(d, 0, 1);
    }
    entry.tensor = mask.contiguous();
    result.graph.values[static_cast<size_t>(entry.value)].shape = mask.sizes().vec();
    const int64_t channels = result.free.batch_dim + 1;
    for (int64_t d = 0; d < mask.dim(); ++d) {
      if (d <= channels || mask.size(d) == 1) continue;
      for (auto& dims : result.free.dims) {
        for (size_t i = 0; i < dims.size(); ++i) {
          if (static_cast<int>(i) != result.free.batch_dim) dims[i] = false;
        }
      }
      result.free.note = "the mask of '" + masked_layer(entry.name) + "' has a size of its own";
    }
  }
  result.verify();
  return result;
}

}  // namespace cpd
