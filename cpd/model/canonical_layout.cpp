#include <ATen/core/jit_type.h>
#include <cpd/model/tensor_ops.h>

#include <algorithm>
#include <map>

namespace cpd {
namespace {

Symbols reshape(Call& call, const Symbol& sizes) {
  return {call.recorder.call1("aten::reshape", "", {call.arg("self"), sizes})};
}

Symbols view(Call& call) {
  if (!call.schema.overload_name().empty()) return call.keep();
  return reshape(call, call.args.at(1));
}

Symbols reshape_as(Call& call) { return reshape(call, call.recorder.sizes(call.tensor("other"))); }

Symbols expand_as(Call& call) {
  return {call.recorder.call1(
      "aten::expand", "",
      {call.arg("self"), call.recorder.sizes(call.tensor("other")), Symbol::boolean(false)})};
}

Symbols permute(Call& call, const std::vector<int64_t>& order) {
  return {call.recorder.call1("aten::permute", "", {call.arg("self"), make_integers(order)})};
}

Symbols reverse_dims(Call& call) {
  std::vector<int64_t> order;
  for (int64_t dim = call.tensor("self")->concrete.dim(); dim-- > 0;) order.push_back(dim);
  return permute(call, order);
}

Symbols transpose_matrix(Call& call) {
  return {call.recorder.call1("aten::transpose", "int",
                              {call.arg("self"), Symbol::integer(-2), Symbol::integer(-1)})};
}

Symbols move_dims(Call& call) {
  const int64_t rank = call.tensor("self")->concrete.dim();
  std::vector<int64_t> order(static_cast<size_t>(rank), -1), rest;
  auto source = call.integers("source"), destination = call.integers("destination");
  for (size_t i = 0; i < source.size(); i++) {
    source[i] = (source[i] + rank) % rank;
    order.at(static_cast<size_t>((destination[i] + rank) % rank)) = source[i];
  }
  int64_t next = 0;
  for (int64_t& dim : order) {
    if (dim >= 0) continue;
    while (std::find(source.begin(), source.end(), next) != source.end()) next++;
    dim = next++;
  }
  return permute(call, order);
}

Symbols stack_columns(Call& call) {
  const auto* list = call.arg("tensors").list();
  const auto first = list && !list->items.empty() ? list->items[0].tensor() : nullptr;
  if (!first || first->concrete.dim() == 0) return call.keep();
  const int64_t dim = first->concrete.dim() == 1 ? 0 : 1;
  return {call.recorder.call1("aten::cat", "", {call.arg("tensors"), Symbol::integer(dim)})};
}

Symbols same_tensor(Call& call) { return {call.args.at(0)}; }
Symbols alias(Call& call) {
  const HandlePtr handle = call.args.at(0).tensor();
  if (!handle) return call.keep();
  return {handle->memory ? call.recorder.alias(handle) : call.args[0]};
}

Symbols clone(Call& call) {
  const HandlePtr self = call.tensor("self");
  return {call.recorder.copy(self, self->concrete.clone())};
}

Symbols contiguous(Call& call) {
  const HandlePtr self = call.tensor("self");
  const bool plain = !call.has("memory_format") || call.integer("memory_format") == 0;
  if (self->concrete.is_contiguous() && plain) return {call.args[0]};
  return {call.recorder.copy(self, self->concrete.contiguous())};
}

/// The dtype that a conversion leads to.
at::ScalarType target_type(const Call& call) {
  if (call.has("other")) return call.tensor("other")->concrete.scalar_type();
  if (call.has("dtype")) return static_cast<at::ScalarType>(call.integer("dtype"));
  return call.tensor("self")->concrete.scalar_type();
}

/// Conversions between devices vanish: the network runs where its inputs and parameters are.
Symbols convert(Call& call) {
  const HandlePtr self = call.tensor("self");
  const at::ScalarType type = target_type(call);
  if (type == self->concrete.scalar_type()) {
    const bool copies = call.has("copy") && call.arg("copy").number() &&
                        call.arg("copy").number()->expr.dense_bool();
    return copies ? clone(call) : same_tensor(call);
  }
  if (self->number && !self->memory) {
    const at::Tensor concrete = self->concrete.to(type);
    const char* function = at::isFloatingType(type) ? "float" : type == at::kBool ? "bool" : "int";
    const Expr number = Expr::call(function, {*self->number});
    if (number.dense_double() == concrete.item<double>()) {
      return {call.recorder.number_tensor(number, concrete)};
    }
  }
  return {call.recorder.call1("aten::to", "dtype",
                              {call.arg("self"), Symbol::integer(static_cast<int64_t>(type))})};
}

}  // namespace

Canonical canonical_layout(const std::string& kind) {
  static const std::map<std::string, Canonical> rules = {{"aten::view", view},
                                                         {"aten::_unsafe_view", view},
                                                         {"aten::view_as", reshape_as},
                                                         {"aten::reshape_as", reshape_as},
                                                         {"aten::expand_as", expand_as},
                                                         {"aten::numpy_T", reverse_dims},
                                                         {"aten::mT", transpose_matrix},
                                                         {"aten::movedim", move_dims},
                                                         {"aten::hstack", stack_columns},
                                                         {"aten::contiguous", contiguous},
                                                         {"aten::clone", clone},
                                                         {"aten::detach", alias},
                                                         {"aten::alias", alias},
                                                         {"aten::lift_fresh", alias},
                                                         {"aten::positive", alias},
                                                         {"prim::data", alias},
                                                         {"aten::cpu", same_tensor},
                                                         {"aten::cuda", same_tensor},
                                                         {"aten::to", convert},
                                                         {"aten::type_as", convert}};
  const auto found = rules.find(kind);
  return found == rules.end() ? nullptr : found->second;
}

}  // namespace cpd
