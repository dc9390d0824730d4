#include <cpd/dynamic_ops/contraction.h>
#include <cpd/dynamic_ops/elementwise.h>
#include <cpd/dynamic_ops/normalisation.h>
#include <cpd/dynamic_ops/op_table.h>

namespace cpd {
namespace {

/// Finite operands give finite results and gradients, each position by itself.
const std::vector<std::string>& elementwise_kinds() {
  static const std::vector<std::string> kinds = {"aten::abs",
                                                 "aten::add",
                                                 "aten::addcmul",
                                                 "aten::alias",
                                                 "aten::atan",
                                                 "aten::bernoulli",
                                                 "aten::bitwise_and",
                                                 "aten::bitwise_not",
                                                 "aten::bitwise_or",
                                                 "aten::ceil",
                                                 "aten::celu",
                                                 "aten::clamp",
                                                 "aten::clamp_max",
                                                 "aten::clamp_min",
                                                 "aten::clip",
                                                 "aten::clone",
                                                 "aten::contiguous",
                                                 "aten::copy",
                                                 "aten::cos",
                                                 "aten::detach",
                                                 "aten::dropout",
                                                 "aten::dropout1d",
                                                 "aten::dropout2d",
                                                 "aten::dropout3d",
                                                 "aten::elu",
                                                 "aten::eq",
                                                 "aten::erf",
                                                 "aten::feature_dropout",
                                                 "aten::alpha_dropout",
                                                 "aten::floor",
                                                 "aten::ge",
                                                 "aten::gelu",
                                                 "aten::glu",
                                                 "aten::gt",
                                                 "aten::hardshrink",
                                                 "aten::hardsigmoid",
                                                 "aten::hardswish",
                                                 "aten::hardtanh",
                                                 "aten::leaky_relu",
                                                 "aten::le",
                                                 "aten::lerp",
                                                 "aten::log_sigmoid",
                                                 "aten::logical_and",
                                                 "aten::logical_not",
                                                 "aten::logical_or",
                                                 "aten::lt",
                                                 "aten::masked_fill",
                                                 "aten::maximum",
                                                 "aten::minimum",
                                                 "aten::mish",
                                                 "aten::mul",
                                                 "aten::ne",
                                                 "aten::neg",
                                                 "aten::relu",
                                                 "aten::relu6",
                                                 "aten::round",
                                                 "aten::rsub",
                                                 "aten::selu",
                                                 "aten::sigmoid",
                                                 "aten::sign",
                                                 "aten::silu",
                                                 "aten::sin",
                                                 "aten::softplus",
                                                 "aten::softshrink",
                                                 "aten::square",
                                                 "aten::sub",
                                                 "aten::tanh",
                                                 "aten::threshold",
                                                 "aten::to",
                                                 "aten::_to_copy",
                                                 "aten::trunc",
                                                 "aten::type_as",
                                                 "aten::where"};
  return kinds;
}

/// Elementwise, but with a singular point somewhere.
const std::vector<std::string>& guarded_kinds() {
  static const std::vector<std::string> kinds = {
      "aten::acos",  "aten::asin",       "aten::atanh", "aten::div",        "aten::exp",
      "aten::expm1", "aten::exp2",       "aten::log",   "aten::log10",      "aten::log1p",
      "aten::log2",  "aten::logit",      "aten::pow",   "aten::reciprocal", "aten::rsqrt",
      "aten::sqrt",  "aten::true_divide"};
  return kinds;
}

/// Work along dimensions that cannot be cut; the others pass.
const std::vector<std::string>& passing_kinds() {
  static const std::vector<std::string> kinds = {"aten::_softmax",
                                                 "aten::adaptive_avg_pool1d",
                                                 "aten::adaptive_avg_pool2d",
                                                 "aten::adaptive_avg_pool3d",
                                                 "aten::adaptive_max_pool1d",
                                                 "aten::adaptive_max_pool2d",
                                                 "aten::adaptive_max_pool3d",
                                                 "aten::argmax",
                                                 "aten::argmin",
                                                 "aten::argsort",
                                                 "aten::avg_pool1d",
                                                 "aten::avg_pool2d",
                                                 "aten::avg_pool3d",
                                                 "aten::cummax",
                                                 "aten::cumsum",
                                                 "aten::empty_like",
                                                 "aten::full_like",
                                                 "aten::log_softmax",
                                                 "aten::max_pool1d",
                                                 "aten::max_pool2d",
                                                 "aten::max_pool2d_with_indices",
                                                 "aten::max_pool3d",
                                                 "aten::new_empty",
                                                 "aten::new_full",
                                                 "aten::new_ones",
                                                 "aten::new_zeros",
                                                 "aten::ones_like",
                                                 "aten::reflection_pad1d",
                                                 "aten::reflection_pad2d",
                                                 "aten::reflection_pad3d",
                                                 "aten::replication_pad1d",
                                                 "aten::replication_pad2d",
                                                 "aten::replication_pad3d",
                                                 "aten::softmax",
                                                 "aten::sort",
                                                 "aten::topk",
                                                 "aten::upsample_bicubic2d",
                                                 "aten::upsample_bilinear2d",
                                                 "aten::upsample_linear1d",
                                                 "aten::upsample_nearest1d",
                                                 "aten::upsample_nearest2d",
                                                 "aten::upsample_nearest3d",
                                                 "aten::upsample_trilinear3d",
                                                 "aten::zeros_like"};
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
  table.add_all({"aten::matmul", "aten::mm", "aten::bmm", "aten::mv", "aten::dot", "aten::addmm",
                 "aten::baddbmm", "aten::addbmm"},
                dynamic_op_factory<DynamicMatmul>());
  table.add_all({"aten::einsum", "aten::bilinear"}, dynamic_op_factory<DynamicEinsum>());
  table.add("aten::scaled_dot_product_attention", dynamic_op_factory<DynamicAttention>());
  table.add("aten::batch_norm", dynamic_op_factory<DynamicBatchNorm>());
  table.add("aten::layer_norm", dynamic_op_factory<DynamicLayerNorm>());
  table.add("aten::group_norm", dynamic_op_factory<DynamicGroupNorm>());
  table.add("aten::instance_norm", dynamic_op_factory<DynamicInstanceNorm>());
  table.add("aten::prelu", dynamic_op_factory<DynamicPReLU>());
  table.add("aten::embedding", dynamic_op_factory<DynamicEmbedding>());
  table.add_all({"aten::sum", "aten::mean"}, dynamic_op_factory<DynamicReduction>());
  table.add_all(guarded_kinds(), dynamic_op_factory<GuardedOp>());
  table.add_all(elementwise_kinds(), dynamic_op_factory<PassThroughOp>());
  table.add_all(passing_kinds(), dynamic_op_factory<PassThroughOp>());
  return table;
}

}  // namespace cpd
