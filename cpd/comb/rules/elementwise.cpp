#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace {

using rules::any_labelled;
using rules::subject;

const std::vector<std::string> kPointwise = {"aten::abs",
                                             "aten::acos",
                                             "aten::acosh",
                                             "aten::add",
                                             "aten::addcdiv",
                                             "aten::addcmul",
                                             "aten::alias",
                                             "aten::alpha_dropout",
                                             "aten::angle",
                                             "aten::asin",
                                             "aten::asinh",
                                             "aten::atan",
                                             "aten::atan2",
                                             "aten::atanh",
                                             "aten::bernoulli",
                                             "aten::bitwise_and",
                                             "aten::bitwise_not",
                                             "aten::bitwise_or",
                                             "aten::bitwise_xor",
                                             "aten::ceil",
                                             "aten::celu",
                                             "aten::clamp",
                                             "aten::clamp_max",
                                             "aten::clamp_min",
                                             "aten::clip",
                                             "aten::clone",
                                             "aten::complex",
                                             "aten::conj",
                                             "aten::contiguous",
                                             "aten::copysign",
                                             "aten::cos",
                                             "aten::cosh",
                                             "aten::deg2rad",
                                             "aten::detach",
                                             "aten::digamma",
                                             "aten::div",
                                             "aten::divide",
                                             "aten::dropout",
                                             "aten::elu",
                                             "aten::eq",
                                             "aten::erf",
                                             "aten::erfc",
                                             "aten::erfinv",
                                             "aten::exp",
                                             "aten::exp2",
                                             "aten::expm1",
                                             "aten::feature_alpha_dropout",
                                             "aten::feature_dropout",
                                             "aten::float_power",
                                             "aten::floor",
                                             "aten::floor_divide",
                                             "aten::fmax",
                                             "aten::fmin",
                                             "aten::fmod",
                                             "aten::frac",
                                             "aten::ge",
                                             "aten::gelu",
                                             "aten::greater",
                                             "aten::gt",
                                             "aten::hardshrink",
                                             "aten::hardsigmoid",
                                             "aten::hardswish",
                                             "aten::hardtanh",
                                             "aten::heaviside",
                                             "aten::hypot",
                                             "aten::imag",
                                             "aten::isclose",
                                             "aten::isfinite",
                                             "aten::isinf",
                                             "aten::isnan",
                                             "aten::le",
                                             "aten::leaky_relu",
                                             "aten::lerp",
                                             "aten::less",
                                             "aten::lgamma",
                                             "aten::log",
                                             "aten::log10",
                                             "aten::log1p",
                                             "aten::log2",
                                             "aten::log_sigmoid",
                                             "aten::logaddexp",
                                             "aten::logaddexp2",
                                             "aten::logical_and",
                                             "aten::logical_not",
                                             "aten::logical_or",
                                             "aten::logical_xor",
                                             "aten::logit",
                                             "aten::lt",
                                             "aten::masked_fill",
                                             "aten::maximum",
                                             "aten::minimum",
                                             "aten::mish",
                                             "aten::mul",
                                             "aten::multiply",
                                             "aten::nan_to_num",
                                             "aten::native_dropout",
                                             "aten::ne",
                                             "aten::neg",
                                             "aten::negative",
                                             "aten::not_equal",
                                             "aten::polar",
                                             "aten::positive",
                                             "aten::pow",
                                             "aten::rad2deg",
                                             "aten::real",
                                             "aten::reciprocal",
                                             "aten::relu",
                                             "aten::relu6",
                                             "aten::remainder",
                                             "aten::round",
                                             "aten::rrelu",
                                             "aten::rsqrt",
                                             "aten::rsub",
                                             "aten::selu",
                                             "aten::sgn",
                                             "aten::sigmoid",
                                             "aten::sign",
                                             "aten::silu",
                                             "aten::sin",
                                             "aten::sinc",
                                             "aten::sinh",
                                             "aten::softplus",
                                             "aten::softshrink",
                                             "aten::special_erf",
                                             "aten::special_expit",
                                             "aten::sqrt",
                                             "aten::square",
                                             "aten::sub",
                                             "aten::subtract",
                                             "aten::tan",
                                             "aten::tanh",
                                             "aten::threshold",
                                             "aten::true_divide",
                                             "aten::trunc",
                                             "aten::where",
                                             "aten::xlogy",
                                             "aten::__and__",
                                             "aten::__or__",
                                             "aten::__xor__",
                                             "aten::expand_as",
                                             "aten::_prelu_kernel"};

/// All operands meet, under broadcasting.
void comb_pointwise(RuleContext& rule) {
  if (!any_labelled(rule)) return;
  const Shape& shape = rule.shape(rule.op().outputs.front());
  const auto operands = rule.op().operands();
  const bool broadcasts = std::all_of(operands.begin(), operands.end(), [&](ValueId value) {
    return rule.shape(value).size() <= shape.size();
  });
  if (!broadcasts) return rules::lock_operands(rule, "a result of lower rank than its operands");
  const Labels met = rule.elementwise(operands, shape);
  rules::set_all(rule, met);
}

/// Ops that read values of one operand; any further operand lends only its type or device.
void comb_cast(RuleContext& rule) { rules::set_all(rule, rule.labels(subject(rule.op()))); }

/// `max` and `min` of two tensors; their reductions are rules of their own.
bool is_binary(const Op& op) { return op.operands().size() == 2; }

/// Per-channel tensors meet dimension 1 of the input.
void comb_per_channel(RuleContext& rule) {
  const auto operands = rule.op().operands();
  const ValueId input = operands.front();
  if (!any_labelled(rule)) return;
  std::vector<Labels> meeting = {rule.labels(input)};
  const int rank = meeting.front().rank();
  for (size_t i = 1; i < operands.size(); ++i) {
    const Labels vector = rule.labels(operands[i]);
    if (vector.rank() != 1 || vector.shape[0] == 1) continue;  // one number for all channels
    rule.role(operands[i], 0, Role::kAlong);
    meeting.push_back(rules::along(vector, rank > 1 ? 1 : 0, rank));
  }
  const ValueId output = rule.op().outputs.front();
  rule.set(output, rule.meet(meeting, rule.shape(output)));
}

/// A complex number is made of the two positions of the last dimension.
void comb_view_as_complex(RuleContext& rule) {
  const ValueId input = subject(rule.op());
  const int last = rules::rank_of(rule, input) - 1;
  const Labels pairs = rules::mixed(rule, rule.labels(input), {last}, "parts of complex numbers");
  rule.set(rule.op().outputs.front(), rules::dropped(pairs, last));
}

void comb_view_as_real(RuleContext& rule) {
  const ValueId input = subject(rule.op());
  Labels labels = unsqueezed(rule.labels(input), rules::rank_of(rule, input));
  labels.shape.back() = 2;
  rule.set(rule.op().outputs.front(), labels);
}

/// Triangles of the last two dimensions are kept by position.
void comb_triangle(RuleContext& rule) {
  const ValueId input = subject(rule.op());
  const int rank = rules::rank_of(rule, input);
  rules::set_all(rule, rules::mixed(rule, rule.labels(input), {rank - 2, rank - 1},
                                    "a triangle is taken by position"));
}

}  // namespace

namespace rules {

void comb_two_operands(RuleContext& rule) {
  if (is_binary(rule.op())) comb_pointwise(rule);
}

}  // namespace rules

void add_elementwise_rules(Rules& rules) {
  rules.add_all(kPointwise, {comb_pointwise});
  rules.add_all(
      {"aten::to", "aten::_to_copy", "aten::type_as", "aten::zeros_like", "aten::ones_like",
       "aten::full_like", "aten::empty_like", "aten::rand_like", "aten::randn_like", "aten::fill",
       "aten::zero", "aten::lift_fresh", "aten::resolve_conj", "aten::resolve_neg"},
      {comb_cast});
  rules.add_all({"aten::batch_norm", "aten::prelu"}, {comb_per_channel});
  rules.add("aten::view_as_complex", {comb_view_as_complex});
  rules.add("aten::view_as_real", {comb_view_as_real});
  rules.add_all({"aten::tril", "aten::triu"}, {comb_triangle});
}

}  // namespace cpd
