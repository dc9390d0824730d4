#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

/// Every position along a dimension depends on all of them: it stays whole; the others pass.
void comb_mixing(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(rules::subject(op));
  if (!rules::labelled(labels)) return;
  const auto dims = rules::dims_of(op, op.find("dims") != nullptr ? "dims" : "dim", labels.rank());
  labels =
      rules::mixed(rule, labels, dims, "a " + op.kind.substr(op.kind.find(':') + 2) + " over it");
  for (ValueId output : op.outputs) {
    if (output < 0 || rule.shape(output).size() != labels.shape.size()) continue;
    labels.shape = rule.shape(output);
    rule.set(output, labels);
  }
}

/// The first half of a dimension gated by the second: both lose the same positions.
void comb_glu(RuleContext& rule) {
  const Op& op = rule.op();
  const Labels labels = rule.labels(rules::subject(op));
  if (!rules::labelled(labels)) return;
  const int dim = rules::dim_of(op, "dim", labels.rank());
  const int64_t half = labels.shape[static_cast<size_t>(dim)] / 2;
  const Labels first = rules::take(rule, labels, dim, rules::positions(0, half));
  const Labels second = rules::take(rule, labels, dim, rules::positions(half, 2 * half));
  rule.set(op.outputs.front(), rule.meet({first, second}, first.shape));
}

}  // namespace

void add_mixing_rules(Rules& rules) {
  rules.add_all({"aten::softmax",      "aten::log_softmax", "aten::_softmax",  "aten::_log_softmax",
                 "aten::cumsum",       "aten::cumprod",     "aten::cummax",    "aten::cummin",
                 "aten::logcumsumexp", "aten::sort",        "aten::argsort",   "aten::msort",
                 "aten::topk",         "aten::fft_fft",     "aten::fft_ifft",  "aten::fft_rfft",
                 "aten::fft_irfft",    "aten::fft_fft2",    "aten::fft_ifft2", "aten::fft_rfft2",
                 "aten::fft_irfft2",   "aten::rot90",       "aten::diff"},
                {comb_mixing});
  rules.add("aten::glu", {comb_glu});
}

}  // namespace cpd
