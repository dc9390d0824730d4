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

}  // namespace

void add_mixing_rules(Rules& rules) {
  rules.add_all({"aten::softmax",  "aten::log_softmax",  "aten::_softmax",  "aten::_log_softmax",
                 "aten::softmin",  "aten::cumsum",       "aten::cumprod",   "aten::cummax",
                 "aten::cummin",   "aten::logcumsumexp", "aten::sort",      "aten::argsort",
                 "aten::msort",    "aten::topk",         "aten::glu",       "aten::renorm",
                 "aten::fft_fft",  "aten::fft_ifft",     "aten::fft_rfft",  "aten::fft_irfft",
                 "aten::fft_fft2", "aten::fft_ifft2",    "aten::fft_rfft2", "aten::fft_irfft2",
                 "aten::rot90",    "aten::diff"},
                {comb_mixing});
}

}  // namespace cpd
