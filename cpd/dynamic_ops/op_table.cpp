#include <cpd/dynamic_ops/contraction.h>
#include <cpd/dynamic_ops/elementwise.h>
#include <cpd/dynamic_ops/normalisation.h>
#include <cpd/dynamic_ops/op_table.h>

namespace cpd {
namespace {

// clang-format off
/// Finite operands give finite results and gradients, each position by itself.
const char* const kElementwise[] = {
    "__and__", "__or__", "__xor__", "_prelu_kernel", "_to_copy", "abs", "add", "addcmul", "alias",
    "alpha_dropout", "asinh", "atan", "bernoulli", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "ceil", "celu", "clamp", "clamp_max", "clamp_min", "clip", "clone", "contiguous",
    "copy", "cos", "deg2rad", "detach", "double", "dropout", "elu", "eq", "erf", "erfc", "expand_as",
    "feature_alpha_dropout", "feature_dropout", "float", "floor", "fmax", "fmin", "ge", "gelu", "ger",
    "glu", "greater", "gt", "half", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "heaviside",
    "isfinite", "isinf", "isnan", "le", "leaky_relu", "lerp", "less", "log_sigmoid", "logical_and",
    "logical_not", "logical_or", "logical_xor", "lt", "masked_fill", "maximum", "minimum", "mish",
    "mul", "multiply", "nan_to_num", "ne", "neg", "negative", "not_equal", "outer", "positive",
    "rad2deg", "relu", "relu6", "round", "rrelu", "rsub", "selu", "sgn", "sigmoid", "sign", "silu",
    "sin", "sinc", "softplus", "softshrink", "square", "sub", "subtract", "tanh", "tanhshrink",
    "threshold", "to", "trunc", "type_as", "where"};

/// Elementwise, but with a singular point somewhere.
const char* const kGuarded[] = {
    "acos", "addcdiv", "asin", "atanh", "div", "divide", "exp", "exp2", "expm1", "log", "log10",
    "log1p", "log2", "logit", "pow", "reciprocal", "rsqrt", "sqrt", "true_divide"};

/// Work along dimensions that cannot be cut; the others pass. Or take nothing but a shape.
const char* const kPassing[] = {
    "_softmax", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "argmax", "argmin",
    "argsort", "avg_pool1d", "avg_pool2d", "avg_pool3d", "cummax", "cumsum", "empty_like",
    "full_like", "log_softmax", "max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d",
    "new_empty", "new_full", "new_ones", "new_zeros", "ones_like", "reflection_pad1d",
    "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "softmax", "sort", "topk", "upsample_bicubic2d", "upsample_bilinear2d",
    "upsample_linear1d", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
    "upsample_trilinear3d", "zeros_like"};
// clang-format on

template <size_t N>
std::vector<std::string> kinds_of(const char* const (&names)[N]) {
  std::vector<std::string> kinds;
  for (const char* name : names) kinds.push_back(std::string("aten::") + name);
  return kinds;
}

}  // namespace

std::unique_ptr<DynamicOp> DynamicOpTable::make(const Model& model, OpId op,
                                                const Rules& rules) const {
  const std::string& kind = model.graph.op(op).kind;
  const auto found = factories_.find(kind);
  if (found != factories_.end()) return found->second(model, op);
  const Rule* rule = rules.find(kind);
  if (rule == nullptr || rule->layout) return std::make_unique<PassThroughOp>(model, op);
  return std::make_unique<GatheredOp>(model, op);
}

DynamicOpTable default_dynamic_ops() {
  DynamicOpTable table;
  table.add_all(
      {"aten::convolution", "aten::_convolution", "aten::conv1d", "aten::conv2d", "aten::conv3d",
       "aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d"},
      dynamic_op_factory<DynamicConv>());
  table.add("aten::linear", dynamic_op_factory<DynamicLinear>());
  table.add_all(
      {"aten::matmul", "aten::linalg_matmul", "aten::mm", "aten::bmm", "aten::mv", "aten::dot",
       "aten::vdot", "aten::addmm", "aten::addmv", "aten::baddbmm", "aten::addbmm"},
      dynamic_op_factory<DynamicMatmul>());
  table.add_all({"aten::einsum", "aten::bilinear", "aten::tensordot"},
                dynamic_op_factory<DynamicEinsum>());
  table.add("aten::scaled_dot_product_attention", dynamic_op_factory<DynamicAttention>());
  table.add("aten::batch_norm", dynamic_op_factory<DynamicBatchNorm>());
  table.add("aten::layer_norm", dynamic_op_factory<DynamicLayerNorm>());
  table.add("aten::group_norm", dynamic_op_factory<DynamicGroupNorm>());
  table.add("aten::instance_norm", dynamic_op_factory<DynamicInstanceNorm>());
  table.add("aten::prelu", dynamic_op_factory<DynamicPReLU>());
  table.add("aten::embedding", dynamic_op_factory<DynamicEmbedding>());
  table.add_all({"aten::sum", "aten::mean"}, dynamic_op_factory<DynamicReduction>());
  table.add_all(kinds_of(kGuarded), dynamic_op_factory<GuardedOp>());
  table.add_all(kinds_of(kElementwise), dynamic_op_factory<PassThroughOp>());
  table.add_all(kinds_of(kPassing), dynamic_op_factory<PassThroughOp>());
  return table;
}

}  // namespace cpd
