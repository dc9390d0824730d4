#include <ATen/core/jit_type.h>
#include <cpd/model/tensor_ops.h>

#include <map>

namespace cpd {
namespace {

/// `count` entries from one entry, or the list as it is.
Symbol spread(const Symbol& symbol, size_t count) {
  Symbols items;
  if (const auto* list = symbol.list()) {
    items = list->items;
  } else {
    items = {symbol};
  }
  if (items.size() == 1) items.resize(count, items[0]);
  return make_list(c10::IntType::get(), std::move(items));
}

/// What the ways to write a convolution have in common.
struct Convolution {
  Symbol stride, padding, dilation, output_padding = Symbol::integer(0);
  bool transposed = false;
};

/// The one form of a convolution; a sample without batch gets one for the time being.
Symbols convolve(Call& call, Symbol input, const Convolution& form) {
  Recorder& recorder = call.recorder;
  const auto spatial = static_cast<size_t>(call.tensor("weight")->concrete.dim() - 2);
  const bool unbatched = input.tensor()->concrete.dim() == static_cast<int64_t>(spatial) + 1;
  if (unbatched) input = recorder.call1("aten::unsqueeze", "", {input, Symbol::integer(0)});
  Symbol result = recorder.call1(
      "aten::convolution", "",
      {input, call.arg("weight"), call.arg("bias"), spread(form.stride, spatial),
       spread(form.padding, spatial), spread(form.dilation, spatial),
       Symbol::boolean(form.transposed), spread(form.output_padding, spatial), call.arg("groups")});
  if (!unbatched) return {result};
  return {recorder.call1("aten::squeeze", "dim", {result, Symbol::integer(0)})};
}

Symbols plain(Call& call) {
  return convolve(call, call.arg("input"),
                  {call.arg("stride"), call.arg("padding"), call.arg("dilation")});
}

Symbols transposed(Call& call) {
  return convolve(call, call.arg("input"),
                  {call.arg("stride"), call.arg("padding"), call.arg("dilation"),
                   call.arg("output_padding"), true});
}

Symbols general(Call& call) {
  const auto* flag = call.arg("transposed").number();
  return convolve(call, call.arg("input"),
                  {call.arg("stride"), call.arg("padding"), call.arg("dilation"),
                   call.arg("output_padding"), flag && flag->expr.dense_bool()});
}

/// Padding that keeps the size: what cannot be shared evenly goes to the end, as ATen does it.
Symbols same(Call& call) {
  const Shape weight = call.tensor("weight")->concrete.sizes().vec();
  const size_t spatial = weight.size() - 2;
  std::vector<int64_t> dilation = call.integers("dilation");
  dilation.resize(spatial, dilation[0]);
  std::vector<int64_t> even(spatial), extra(2 * spatial, 0);
  bool uneven = false;
  for (size_t i = 0; i < spatial; i++) {
    const int64_t total = dilation[i] * (weight[i + 2] - 1);
    even[i] = total / 2;
    extra[2 * (spatial - 1 - i) + 1] = total % 2;
    uneven |= total % 2 != 0;
  }
  Symbol input = call.arg("input");
  if (uneven) {
    input = call.recorder.call1("aten::constant_pad_nd", "",
                                {input, make_integers(extra), Symbol::integer(0)});
  }
  return convolve(call, input, {call.arg("stride"), make_integers(even), call.arg("dilation")});
}

Symbols by_name(Call& call) {
  const auto* padding = call.arg("padding").constant();
  if (padding && padding->isString() && padding->toStringRef() == "same") return same(call);
  return convolve(call, call.arg("input"),
                  {call.arg("stride"), Symbol::integer(0), call.arg("dilation")});
}

Symbols plain_or_by_name(Call& call) {
  const auto* padding = call.arg("padding").constant();
  return padding && padding->isString() ? by_name(call) : plain(call);
}

}  // namespace

Canonical canonical_convolution(const std::string& kind) {
  static const std::map<std::string, Canonical> rules = {
      {"aten::conv1d", plain_or_by_name},     {"aten::conv2d", plain_or_by_name},
      {"aten::conv3d", plain_or_by_name},     {"aten::_convolution", general},
      {"aten::convolution", general},         {"aten::_convolution_mode", by_name},
      {"aten::conv_transpose1d", transposed}, {"aten::conv_transpose2d", transposed},
      {"aten::conv_transpose3d", transposed}};
  const auto found = rules.find(kind);
  return found == rules.end() ? nullptr : found->second;
}

}  // namespace cpd
