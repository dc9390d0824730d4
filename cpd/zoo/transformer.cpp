#include <ATen/ops/flatten.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/transpose.h>
#include <ATen/ops/unflatten.h>
#include <cpd/zoo/networks.h>
#include <cpd/zoo/transformer.h>

namespace cpd::zoo {
namespace {

at::Tensor in_heads(const at::Tensor& tokens, int64_t heads) {
  return at::transpose(at::unflatten(tokens, -1, {heads, tokens.size(-1) / heads}), 1, 2);
}

}  // namespace

TransformerSizes transformer_sizes(const NetworkSpec& spec) {
  const NetworkSpec published = published_spec(spec.name);
  TransformerSizes sizes;
  sizes.channels = spec.channels;
  sizes.patch = is_small(spec) ? 4 : 16;
  sizes.rows = spec.height / sizes.patch;
  sizes.columns = spec.width / sizes.patch;
  sizes.embedding = spec.embedding > 0 ? spec.embedding : published.embedding;
  sizes.depth = spec.depth > 0 ? spec.depth : published.depth;
  sizes.heads = spec.heads > 0 ? spec.heads : published.heads;
  return sizes;
}

at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  int64_t heads) {
  const at::Tensor mixed = at::scaled_dot_product_attention(
      in_heads(query, heads), in_heads(key, heads), in_heads(value, heads));
  return at::flatten(at::transpose(mixed, 1, 2), 2);
}

TransformerBlock::TransformerBlock(const Part& norm1, const Part& attention, const Part& norm2,
                                   const Part& mlp)
    : norm1_(register_module(norm1.first, norm1.second)),
      attention_(register_module(attention.first, attention.second)),
      norm2_(register_module(norm2.first, norm2.second)),
      mlp_(register_module(mlp.first, mlp.second)) {}

at::Tensor TransformerBlock::forward(const at::Tensor& input) {
  const at::Tensor value = input + attention_->forward(norm1_->forward(input));
  return value + mlp_->forward(norm2_->forward(value));
}

}  // namespace cpd::zoo
