#pragma once

#include "pattern.h"

namespace cpd::testing {

/// Four heads of six over sequences of 5 tokens of width 10. `projections` makes q, k and v of
/// [batch, heads, tokens, width of a head]; the rest is attention and an output projection.
inline Network attention(const std::string& name, const std::string& projections,
                         const std::string& units, std::vector<Weight> weights,
                         const std::string& middle = "", const std::string& logits = "") {
  Network network;
  network.name = name;
  network.weights = std::move(weights);
  network.weights.push_back({"out", {7, 24}});
  network.source = "def forward(self, x):\n    b, n, c = x.shape\n" + projections + middle +
                   "    w = torch.matmul(q, k.transpose(-2, -1)) * 0.4\n" + logits +
                   "    w = torch.softmax(w, -1)\n"
                   "    y = torch.matmul(w, v).transpose(1, 2).reshape([b, n, 24])\n"
                   "    return torch.linear(y, self.out)\n";
  network.inputs = {{2, 5, 10}};
  network.units = units;
  return network;
}

inline const char* const kThreeLinears =
    "    q = torch.linear(x, self.wq).view([b, n, 4, 6]).transpose(1, 2)\n"
    "    k = torch.linear(x, self.wk).view([b, n, 4, 6]).transpose(1, 2)\n"
    "    v = torch.linear(x, self.wv, self.bv).view([b, n, 4, 6]).transpose(1, 2)\n";

inline std::vector<Weight> three_linears() {
  return {{"wq", {24, 10}}, {"wk", {24, 10}}, {"wv", {24, 10}}, {"bv", {24}}};
}

inline std::vector<Weight> fused() { return {{"qkv", {72, 10}}, {"bias", {72}}}; }

inline const char* const kFree = "columns 6 x4 exact; columns 6 x4 operand; rows 4 exact";

/// The same with the one op for attention.
inline Network fused_attention(const std::string& name, const std::string& projections,
                               const std::string& call, const std::string& units,
                               std::vector<Weight> weights) {
  Network network;
  network.name = name;
  network.weights = std::move(weights);
  network.weights.push_back({"out", {7, 24}});
  network.source = "def forward(self, x):\n    b, n, c = x.shape\n" + projections +
                   "    y = torch.scaled_dot_product_attention(" + call +
                   ")\n"
                   "    return torch.linear(y.transpose(1, 2).reshape([b, n, 24]), self.out)\n";
  network.inputs = {{2, 5, 10}};
  network.units = units;
  return network;
}

}  // namespace cpd::testing
