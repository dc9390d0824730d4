#include <ATen/core/jit_type.h>
#include <cpd/model/tensor_ops.h>

#include <cmath>
#include <map>

namespace cpd {
namespace {

/// The implicit scale is a number of the dense network: written out, it stays when heads shrink.
Symbols attention(Call& call) {
  if (!call.has("scale")) {
    const auto columns = static_cast<double>(call.tensor("query")->concrete.size(-1));
    call.set("scale", Symbol::real(1.0 / std::sqrt(columns)));
  }
  return call.keep();
}

}  // namespace

Canonical canonical_attention(const std::string& kind) {
  static const std::map<std::string, Canonical> rules = {
      {"aten::scaled_dot_product_attention", attention}};
  const auto found = rules.find(kind);
  return found == rules.end() ? nullptr : found->second;
}

}  // namespace cpd
