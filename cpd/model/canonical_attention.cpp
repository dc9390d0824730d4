#include <ATen/core/jit_type.h>
#include <cpd/model/tensor_ops.h>

#include <cmath>
#include <map>

namespace cpd {
namespace {

/// A trace in training mode has the rate of its dropout as a constant; in evaluation it is 0.
void follow_mode(Call& call) {
  const auto* rate = call.arg("dropout_p").number();
  if (!rate || !rate->expr.is_constant() || rate->expr.dense_double() == 0) return;
  call.recorder.see_fixed_training();
  const Expr training = Expr::call("float", {Expr::training()});
  call.set("dropout_p", Symbol(Expr::call("mul", {rate->expr, training})));
}

/// The implicit scale is a number of the dense network: written out, it stays when heads shrink.
Symbols attention(Call& call) {
  follow_mode(call);
  if (!call.has("scale")) {
    const auto columns = static_cast<double>(call.tensor("query")->concrete.size(-1));
    call.set("scale", Symbol::real(1.0 / std::sqrt(columns)));
  }
  return call.keep();
}

Symbol transposed(Recorder& recorder, const Symbol& x, int64_t a, int64_t b) {
  return recorder.call1("aten::transpose", "int", {x, Symbol::integer(a), Symbol::integer(b)});
}

Symbol linear(Recorder& recorder, const Symbol& x, const Symbol& weight, const Symbol& bias) {
  return recorder.call1("aten::linear", "", {x, weight, bias});
}

/// [batch, tokens, heads * width] as [batch, heads, tokens, width].
Symbol with_heads(Recorder& recorder, const Symbol& x, int64_t heads) {
  const HandlePtr handle = x.tensor();
  const int64_t width = handle->concrete.size(2) / heads;
  Symbols sizes = {Symbol(recorder.size(handle, 0)), Symbol(recorder.size(handle, 1)),
                   Symbol::integer(heads), Symbol::integer(width)};
  const Symbol opened =
      recorder.call1("aten::reshape", "", {x, make_list(c10::IntType::get(), std::move(sizes))});
  return transposed(recorder, opened, 1, 2);
}

/// The other way round.
Symbol without_heads(Recorder& recorder, const Symbol& x) {
  const HandlePtr handle = x.tensor();
  const at::Tensor& concrete = handle->concrete;
  Symbols sizes = {Symbol(recorder.size(handle, 0)), Symbol(recorder.size(handle, 2)),
                   Symbol::integer(concrete.size(1) * concrete.size(3))};
  return recorder.call1(
      "aten::reshape", "",
      {transposed(recorder, x, 1, 2), make_list(c10::IntType::get(), std::move(sizes))});
}

Symbols three_chunks(Recorder& recorder, const Symbol& x, int64_t dim) {
  return recorder.call1("aten::chunk", "", {x, Symbol::integer(3), Symbol::integer(dim)})
      .list()
      ->items;
}

/// Queries, keys and values [batch, heads, tokens, width]; the packed projection is cut in three,
/// so that the parts can shrink each by itself.
Symbols projected(Call& call, int64_t heads) {
  Recorder& recorder = call.recorder;
  const Symbols inputs = {call.arg("query"), call.arg("key"), call.arg("value")};
  const auto same = [&](size_t i) {
    return inputs[i].tensor()->concrete.is_same(inputs[0].tensor()->concrete);
  };
  Symbols parts;
  if (same(1) && same(2)) {
    parts = three_chunks(
        recorder, linear(recorder, inputs[0], call.arg("qkv_weight"), call.arg("qkv_bias")), 2);
  } else {
    const Symbols weights = three_chunks(recorder, call.arg("qkv_weight"), 0);
    const Symbols biases = three_chunks(recorder, call.arg("qkv_bias"), 0);
    for (size_t i = 0; i < 3; i++) {
      parts.push_back(linear(recorder, inputs[i], weights[i], biases[i]));
    }
  }
  for (Symbol& part : parts) part = with_heads(recorder, part, heads);
  return parts;
}

/// A mask as it meets [batch, heads, queries, keys], true where a key is left out; None without.
Symbol left_out(Call& call) {
  if (!call.has("mask")) return Symbol();
  Recorder& recorder = call.recorder;
  Symbol mask = call.arg("mask");
  if (mask.tensor()->concrete.scalar_type() != at::kBool) {
    const auto type = static_cast<int64_t>(at::kBool);
    mask = recorder.call1("aten::to", "dtype", {mask, Symbol::integer(type)});
  }
  const bool of_keys = call.has("mask_type") && call.integer("mask_type") == 1;
  for (int i = 0; of_keys && i < 2; i++) {
    mask = recorder.call1("aten::unsqueeze", "", {mask, Symbol::integer(1)});
  }
  return mask;
}

/// softmax(q·kᵀ·scale): what each query takes of each key.
Symbol shares(Recorder& recorder, const Symbol& query, const Symbol& key, const Symbol& scale,
              const Symbol& mask) {
  const Symbol scaled = recorder.call1("aten::mul", "Scalar", {query, scale});
  Symbol logits = recorder.call1("aten::matmul", "", {scaled, transposed(recorder, key, -2, -1)});
  if (!mask.is_none()) {
    logits = recorder.call1("aten::masked_fill", "Scalar", {logits, mask, Symbol::real(-INFINITY)});
  }
  return recorder.call1("aten::softmax", "int", {logits, Symbol::integer(-1)});
}

/// The whole layer in one op, as evaluation has it, taken apart.
Symbols native_attention(Call& call) {
  Recorder& recorder = call.recorder;
  const int64_t heads = call.integer("num_head");
  const Symbols parts = projected(call, heads);
  const Symbol mask = left_out(call);
  const auto width = static_cast<double>(parts[0].tensor()->concrete.size(-1));
  const Symbol scale = Symbol::real(1.0 / std::sqrt(width));
  Symbol weights, mixed;
  if (call.has("need_weights") && call.arg("need_weights").number()->expr.dense_bool()) {
    weights = shares(recorder, parts[0], parts[1], scale, mask);
    mixed = recorder.call1("aten::matmul", "", {weights, parts[2]});
  } else {
    const Symbol taken = mask.is_none() ? mask : recorder.call1("aten::logical_not", "", {mask});
    mixed = recorder.call1("aten::scaled_dot_product_attention", "",
                           {parts[0], parts[1], parts[2], taken, Symbol::real(0),
                            Symbol::boolean(false), scale, Symbol::boolean(false)});
  }
  const bool average = call.arg("average_attn_weights").number()->expr.dense_bool();
  if (!weights.is_none() && average) {
    weights = recorder.call1("aten::mean", "dim", {weights, make_integers({1})});
  }
  return {linear(recorder, without_heads(recorder, mixed), call.arg("proj_weight"),
                 call.arg("proj_bias")),
          weights};
}

/// Arguments of `_native_multi_head_attention` on x, from those of the layer around it.
Symbols attention_arguments(const Call& layer, const Symbol& x) {
  Symbols args = {x, x, x};
  for (const char* name :
       {"embed_dim", "num_heads", "qkv_weight", "qkv_bias", "proj_weight", "proj_bias", "mask"}) {
    args.push_back(layer.arg(name));
  }
  args.insert(args.end(), {Symbol::boolean(false), Symbol::boolean(false), layer.arg("mask_type")});
  return args;
}

Symbols encoder_layer(Call& call) {
  Recorder& recorder = call.recorder;
  const bool norm_first = call.arg("norm_first").number()->expr.dense_bool();
  const auto norm = [&](const Symbol& x, const std::string& number) {
    return recorder.call1(
        "aten::layer_norm", "",
        {x, make_integers({call.integer("embed_dim")}), call.arg("norm_weight_" + number),
         call.arg("norm_bias_" + number), call.arg("eps"), Symbol::boolean(true)});
  };
  const auto sum = [&](const Symbol& a, const Symbol& b) {
    return recorder.call1("aten::add", "Tensor", {a, b});
  };
  const Symbol source = call.arg("src");
  const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("aten::_native_multi_head_attention", "");
  Call inner{recorder, handle.schema(),
             attention_arguments(call, norm_first ? norm(source, "1") : source)};
  Symbol x = sum(native_attention(inner).at(0), source);
  if (!norm_first) x = norm(x, "1");
  const Symbol residual = x;
  if (norm_first) x = norm(x, "2");
  x = linear(recorder, x, call.arg("ffn_weight_1"), call.arg("ffn_bias_1"));
  const bool gelu = call.arg("use_gelu").number()->expr.dense_bool();
  x = recorder.call1(gelu ? "aten::gelu" : "aten::relu", "", {x});
  x = linear(recorder, x, call.arg("ffn_weight_2"), call.arg("ffn_bias_2"));
  x = sum(x, residual);
  return {norm_first ? x : norm(x, "2")};
}

}  // namespace

Canonical canonical_attention(const std::string& kind) {
  static const std::map<std::string, Canonical> rules = {
      {"aten::scaled_dot_product_attention", attention},
      {"aten::_native_multi_head_attention", native_attention},
      {"aten::_transformer_encoder_layer_fwd", encoder_layer}};
  const auto found = rules.find(kind);
  return found == rules.end() ? nullptr : found->second;
}

}  // namespace cpd
