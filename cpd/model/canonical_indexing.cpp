#include <ATen/core/jit_type.h>
#include <cpd/model/tensor_ops.h>

namespace cpd {
namespace {

/// One value written wherever a mask is true, `y[y > 1] = 1`, is a masked fill, which keeps its
/// dimensions. A mask of fewer dimensions covers the first ones.
Symbols index_put(Call& call) {
  const auto* indices = call.arg("indices").list();
  const HandlePtr mask =
      indices != nullptr && indices->items.size() == 1 ? indices->items[0].tensor() : nullptr;
  const HandlePtr self = call.tensor("self"), values = call.tensor("values");
  if (!mask || mask->concrete.scalar_type() != at::kBool || values->concrete.numel() != 1 ||
      call.arg("accumulate").number() == nullptr || call.integer("accumulate") != 0) {
    return call.keep();
  }
  Symbol where = indices->items[0], value = call.arg("values");
  for (int64_t rank = mask->concrete.dim(); rank < self->concrete.dim(); ++rank) {
    where = call.recorder.call1("aten::unsqueeze", "", {where, Symbol::integer(-1)});
  }
  if (values->concrete.dim() != 0) {
    value = call.recorder.call1("aten::reshape", "", {value, make_integers({})});
  }
  return {call.recorder.call1("aten::masked_fill", "Tensor", {call.arg("self"), where, value})};
}

}  // namespace

Canonical canonical_indexing(const std::string& kind) {
  return kind == "aten::index_put" ? index_put : nullptr;
}

}  // namespace cpd
