#pragma once

#include "fixture.h"

namespace cpd::testing {

/// One smallest network for each dynamic op: a writer, the op, a reader.
inline std::vector<Source> op_sources() {
  const std::string def = "def forward(self, x):\n";
  return {
      {"conv1d",
       {{"a.weight", {8, 3, 3}}, {"a.bias", {8}}, {"b.weight", {5, 8, 3}}},
       def + "  y = torch.relu(torch.conv1d(x, self.a.weight, self.a.bias, [1], [1]))\n"
             "  return torch.conv1d(y, self.b.weight)\n",
       {2, 3, 9}},
      {"conv2d",
       {{"a.weight", {8, 3, 3, 3}}, {"a.bias", {8}}, {"b.weight", {5, 8, 3, 3}}, {"b.bias", {5}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight, self.a.bias, [2, 2], [1, 1]))\n"
             "  return torch.conv2d(y, self.b.weight, self.b.bias)\n",
       {2, 3, 9, 9}},
      {"conv3d",
       {{"a.weight", {6, 2, 3, 3, 3}}, {"a.bias", {6}}, {"b.weight", {4, 6, 1, 1, 1}}},
       def + "  y = torch.relu(torch.conv3d(x, self.a.weight, self.a.bias))\n"
             "  return torch.conv3d(y, self.b.weight)\n",
       {2, 2, 5, 5, 5}},
      {"transposed",
       {{"a.weight", {3, 8, 3, 3}}, {"a.bias", {8}}, {"b.weight", {8, 5, 2, 2}}},
       def + "  y = torch.relu(torch.conv_transpose2d(x, self.a.weight, self.a.bias, [2, 2], [1, "
             "1]))\n"
             "  return torch.conv_transpose2d(y, self.b.weight)\n",
       {2, 3, 5, 5}},
      {"grouped",
       {{"a.weight", {12, 3, 1, 1}},
        {"g.weight", {24, 3, 3, 3}},
        {"g.bias", {24}},
        {"b.weight", {4, 24, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  z = torch.relu(torch.conv2d(y, self.g.weight, self.g.bias, [1, 1], [1, 1], [1, 1], "
             "4))\n"
             "  return torch.conv2d(z, self.b.weight)\n",
       {2, 3, 6, 6}},
      {"grouped_transposed",
       {{"a.weight", {12, 3, 1, 1}}, {"g.weight", {12, 6, 3, 3}}, {"b.weight", {4, 24, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  z = torch.relu(torch.conv_transpose2d(y, self.g.weight, None, [1, 1], [1, 1], [0, "
             "0], 4))\n"
             "  return torch.conv2d(z, self.b.weight)\n",
       {2, 3, 6, 6}},
      {"depthwise",
       {{"a.weight", {8, 3, 1, 1}},
        {"d.weight", {8, 1, 3, 3}},
        {"d.bias", {8}},
        {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  z = torch.relu(torch.conv2d(y, self.d.weight, self.d.bias, [1, 1], [1, 1], [1, 1], "
             "8))\n"
             "  return torch.conv2d(z, self.b.weight)\n",
       {2, 3, 6, 6}},
      {"linear",
       {{"a.weight", {8, 6}}, {"a.bias", {8}}, {"b.weight", {3, 8}}, {"b.bias", {3}}},
       def + "  y = torch.tanh(torch.linear(x, self.a.weight, self.a.bias))\n"
             "  return torch.linear(y, self.b.weight, self.b.bias)\n",
       {2, 6}},
      {"batch_norm",
       {{"a.weight", {8, 3, 3, 3}},
        {"bn.weight", {8}},
        {"bn.bias", {8}},
        {"bn.running_mean", {8}},
        {"bn.running_var", {8}},
        {"bn.num_batches_tracked", {}},
        {"b.weight", {5, 8, 3, 3}}},
       def + "  y = torch.conv2d(x, self.a.weight)\n"
             "  if self.bn.training:\n"
             "    self.bn.num_batches_tracked.add_(1)\n"
             "  y = torch.batch_norm(y, self.bn.weight, self.bn.bias, self.bn.running_mean, "
             "self.bn.running_var, self.bn.training, 0.1, 1e-5, True)\n"
             "  return torch.conv2d(torch.relu(y), self.b.weight)\n",
       {2, 3, 8, 8}},
      {"layer_norm",
       {{"a.weight", {8, 6}}, {"n.weight", {8}}, {"n.bias", {8}}, {"b.weight", {3, 8}}},
       def + "  y = torch.linear(x, self.a.weight)\n"
             "  y = torch.layer_norm(y, [8], self.n.weight, self.n.bias, 1e-5)\n"
             "  return torch.linear(y, self.b.weight)\n",
       {2, 4, 6}},
      {"layer_norm_plain",
       {{"a.weight", {8, 6}}, {"b.weight", {3, 8}}},
       def + "  y = torch.layer_norm(torch.linear(x, self.a.weight), [8])\n"
             "  return torch.linear(y, self.b.weight)\n",
       {2, 4, 6}},
      {"group_norm",
       {{"a.weight", {12, 3, 1, 1}},
        {"n.weight", {12}},
        {"n.bias", {12}},
        {"b.weight", {4, 12, 1, 1}}},
       def + "  y = torch.conv2d(x, self.a.weight)\n"
             "  y = torch.group_norm(y, 3, self.n.weight, self.n.bias, 1e-5)\n"
             "  return torch.conv2d(torch.relu(y), self.b.weight)\n",
       {2, 3, 5, 5}},
      {"instance_norm",
       {{"a.weight", {8, 3, 1, 1}}, {"n.weight", {8}}, {"n.bias", {8}}, {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.conv2d(x, self.a.weight)\n"
             "  y = torch.instance_norm(y, self.n.weight, self.n.bias, None, None, True, 0.1, "
             "1e-5, True)\n"
             "  return torch.conv2d(torch.relu(y), self.b.weight)\n",
       {2, 3, 5, 5}},
      {"prelu",
       {{"a.weight", {8, 3, 1, 1}}, {"p.weight", {8}}, {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.prelu(torch.conv2d(x, self.a.weight), self.p.weight)\n"
             "  return torch.conv2d(y, self.b.weight)\n",
       {2, 3, 5, 5}},
      {"embedding",
       {{"e.weight", {6, 8}}, {"b.weight", {3, 8}}},
       def +
           "  i = torch.clamp(x.abs() * 3.0, 0, 5).long()\n"
           "  return torch.linear(torch.tanh(torch.embedding(self.e.weight, i)), self.b.weight)\n",
       {2, 7}},
      {"mean",
       {{"a.weight", {8, 3, 1, 1}}, {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  y = y * torch.mean(y, [1], True)\n"
             "  return torch.conv2d(y, self.b.weight)\n",
       {2, 3, 5, 5}},
      {"sum",
       {{"a.weight", {8, 3, 1, 1}}, {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  y = y - torch.sum(y, [1], True)\n"
             "  return torch.conv2d(y, self.b.weight)\n",
       {2, 3, 5, 5}},
      {"variance",
       {{"a.weight", {8, 3, 1, 1}}, {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.conv2d(x, self.a.weight)\n"
             "  y = y + torch.var(y, [1], False, True)\n"
             "  return torch.conv2d(y, self.b.weight)\n",
       {2, 3, 5, 5}},
      {"maximum",
       {{"a.weight", {8, 3, 1, 1}}, {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.conv2d(x, self.a.weight)\n"
             "  y = y + torch.amax(y, [1], True)\n"
             "  return torch.conv2d(y, self.b.weight)\n",
       {2, 3, 5, 5}},
      {"singular",
       {{"a.weight", {8, 6}}, {"b.weight", {8, 6}}, {"c.weight", {3, 8}}},
       def + "  y = torch.relu(torch.linear(x, self.a.weight)) + 0.1\n"
             "  z = torch.exp(torch.linear(x, self.b.weight))\n"
             "  return torch.linear(torch.log(y) + torch.sqrt(z) / y, self.c.weight)\n",
       {2, 6}},
      {"attention",
       {{"q.weight", {24, 10}},
        {"k.weight", {24, 10}},
        {"v.weight", {24, 10}},
        {"o.weight", {10, 24}}},
       def + "  b = x.size(0)\n"
             "  q = torch.linear(x, self.q.weight).view(b, -1, 4, 6).transpose(1, 2)\n"
             "  k = torch.linear(x, self.k.weight).view(b, -1, 4, 6).transpose(1, 2)\n"
             "  v = torch.linear(x, self.v.weight).view(b, -1, 4, 6).transpose(1, 2)\n"
             "  y = torch.scaled_dot_product_attention(q, k, v)\n"
             "  y = y.transpose(1, 2).reshape(b, -1, 24)\n"
             "  return torch.linear(y, self.o.weight)\n",
       {2, 5, 10}},
      {"attention_by_hand",
       {{"qkv.weight", {72, 10}}, {"qkv.bias", {72}}, {"o.weight", {10, 24}}},
       def + "  b = x.size(0)\n"
             "  y = torch.linear(x, self.qkv.weight, self.qkv.bias).view(b, -1, 3, 4, 6)\n"
             "  q, k, v = y.permute(2, 0, 3, 1, 4).unbind(0)\n"
             "  w = torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * 0.4, -1)\n"
             "  y = torch.matmul(w, v).transpose(1, 2).reshape(b, -1, 24)\n"
             "  return torch.linear(y, self.o.weight)\n",
       {2, 5, 10}},
      {"concatenation",
       {{"a.weight", {8, 3, 1, 1}}, {"b.weight", {6, 3, 1, 1}}, {"c.weight", {4, 14, 1, 1}}},
       def + "  y = torch.conv2d(x, self.a.weight)\n"
             "  z = torch.conv2d(x, self.b.weight)\n"
             "  return torch.conv2d(torch.cat([y, z], 1), self.c.weight)\n",
       {2, 3, 5, 5}},
      {"flatten",
       {{"a.weight", {8, 3, 3, 3}}, {"b.weight", {4, 72}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  return torch.linear(torch.flatten(y, 1), self.b.weight)\n",
       {2, 3, 5, 5}},
      {"instance_norm_with_statistics",
       {{"a.weight", {8, 3, 1, 1}},
        {"n.weight", {8}},
        {"n.bias", {8}},
        {"n.running_mean", {8}},
        {"n.running_var", {8}},
        {"b.weight", {4, 8, 1, 1}}},
       def + "  y = torch.conv2d(x, self.a.weight)\n"
             "  y = torch.instance_norm(y, self.n.weight, self.n.bias, self.n.running_mean, "
             "self.n.running_var, self.n.training, 0.1, 1e-5, True)\n"
             "  return torch.conv2d(torch.relu(y), self.b.weight)\n",
       {2, 3, 5, 5}},
      {"batch_norm_flat",
       {{"a.weight", {8, 6}},
        {"bn.weight", {8}},
        {"bn.bias", {8}},
        {"bn.running_mean", {8}},
        {"bn.running_var", {8}},
        {"b.weight", {3, 8}}},
       def + "  y = torch.linear(x, self.a.weight)\n"
             "  y = torch.batch_norm(y, self.bn.weight, self.bn.bias, self.bn.running_mean, "
             "self.bn.running_var, self.bn.training, 0.3, 1e-5, True)\n"
             "  return torch.linear(y, self.b.weight)\n",
       {2, 6}},
      {"layer_norm_of_columns",
       {{"a.weight", {12, 6}}, {"n.weight", {4}}, {"b.weight", {3, 12}}},
       def + "  y = torch.linear(x, self.a.weight).view(x.size(0), -1, 3, 4)\n"
             "  y = torch.layer_norm(y, [4], self.n.weight)\n"
             "  return torch.linear(y.reshape(x.size(0), -1, 12), self.b.weight)\n",
       {2, 5, 6}},
      {"rms_norm_by_hand",
       {{"a.weight", {8, 6}}, {"n.weight", {8}}, {"b.weight", {3, 8}}},
       def + "  y = torch.linear(x, self.a.weight)\n"
             "  y = y * torch.rsqrt(torch.mean(y * y, [-1], True) + 1e-6) * self.n.weight\n"
             "  return torch.linear(y, self.b.weight)\n",
       {2, 4, 6}},
      {"norm_of_columns",
       {{"a.weight", {48, 6}}, {"b.weight", {3, 8}}},
       def + "  y = torch.linear(x, self.a.weight).view(x.size(0), 8, 6)\n"
             "  return torch.linear(torch.norm(y, 2, [-1]), self.b.weight)\n",
       {2, 6}},
      {"maxout",
       {{"a.weight", {12, 6}}, {"b.weight", {3, 6}}},
       def + "  y = torch.linear(x, self.a.weight).view(x.size(0), 6, 2)\n"
             "  return torch.linear(torch.amax(y, [2]), self.b.weight)\n",
       {2, 6}},
      {"standardised_weight",
       {{"s.weight", {8, 3, 1, 1}}, {"a.weight", {6, 8, 3, 3}}, {"b.weight", {4, 6, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.s.weight))\n"
             "  w = self.a.weight\n"
             "  w = (w - torch.mean(w, [1, 2, 3], True)) / "
             "(torch.std(w, [1, 2, 3], False, True) + 1e-5)\n"
             "  return torch.conv2d(torch.conv2d(y, w), self.b.weight)\n",
       {2, 3, 6, 6}},
      {"shuffle",
       {{"a.weight", {12, 3, 1, 1}}, {"g.weight", {12, 3, 3, 3}}, {"b.weight", {4, 12, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  y = torch.conv2d(y, self.g.weight, None, [1, 1], [1, 1], [1, 1], 4)\n"
             "  y = y.view(x.size(0), 4, 3, 6, 6).transpose(1, 2).reshape(x.size(0), 12, 6, 6)\n"
             "  return torch.conv2d(y, self.b.weight)\n",
       {2, 3, 6, 6}},
      {"slices",
       {{"a.weight", {12, 3, 1, 1}}, {"b.weight", {4, 6, 1, 1}}, {"c.weight", {4, 4, 1, 1}}},
       def + "  y = torch.relu(torch.conv2d(x, self.a.weight))\n"
             "  u = torch.conv2d(y[:, ::2], self.b.weight)\n"
             "  return u + torch.conv2d(y.flip(1)[:, 3:7], self.c.weight)\n",
       {2, 3, 6, 6}},
      {"heads_in_the_batch",
       {{"q.weight", {24, 10}},
        {"k.weight", {24, 10}},
        {"v.weight", {24, 10}},
        {"o.weight", {10, 24}}},
       def + "  b = x.size(0)\n"
             "  q = torch.linear(x, self.q.weight).view(b, -1, 4, 6).transpose(1, 2).reshape(b * "
             "4, -1, 6)\n"
             "  k = torch.linear(x, self.k.weight).view(b, -1, 4, 6).transpose(1, 2).reshape(b * "
             "4, -1, 6)\n"
             "  v = torch.linear(x, self.v.weight).view(b, -1, 4, 6).transpose(1, 2).reshape(b * "
             "4, -1, 6)\n"
             "  w = torch.softmax(torch.bmm(q, k.transpose(1, 2)) * 0.4, -1)\n"
             "  y = torch.bmm(w, v).view(b, 4, -1, 6).transpose(1, 2).reshape(b, -1, 24)\n"
             "  return torch.linear(y, self.o.weight)\n",
       {2, 5, 10}},
      {"linear_attention",
       {{"q.weight", {24, 10}},
        {"k.weight", {24, 10}},
        {"v.weight", {24, 10}},
        {"o.weight", {10, 24}}},
       def + "  b = x.size(0)\n"
             "  q = torch.linear(x, self.q.weight).view(b, -1, 4, 6)\n"
             "  k = torch.linear(x, self.k.weight).view(b, -1, 4, 6)\n"
             "  v = torch.linear(x, self.v.weight).view(b, -1, 4, 6)\n"
             "  s = torch.einsum('bnhd,bnhe->bhde', [torch.elu(k) + 1, v])\n"
             "  y = torch.einsum('bnhd,bhde->bnhe', [torch.elu(q) + 1, s])\n"
             "  return torch.linear(y.reshape(b, -1, 24), self.o.weight)\n",
       {2, 5, 10}},
      {"transformer_block",
       {{"e.weight", {12, 6}},
        {"n.weight", {12}},
        {"n.bias", {12}},
        {"qkv.weight", {36, 12}},
        {"o.weight", {12, 12}},
        {"m.weight", {12}},
        {"m.bias", {12}},
        {"up.weight", {20, 12}},
        {"down.weight", {12, 20}},
        {"h.weight", {3, 12}}},
       def +
           "  b = x.size(0)\n"
           "  x = torch.linear(x, self.e.weight)\n"
           "  y = torch.layer_norm(x, [12], self.n.weight, self.n.bias)\n"
           "  y = torch.linear(y, self.qkv.weight).view(b, -1, 3, 3, 4)\n"
           "  q, k, v = y.permute(2, 0, 3, 1, 4).unbind(0)\n"
           "  y = torch.scaled_dot_product_attention(q, k, v)\n"
           "  x = x + torch.linear(y.transpose(1, 2).reshape(b, -1, 12), self.o.weight)\n"
           "  y = torch.layer_norm(x, [12], self.m.weight, self.m.bias)\n"
           "  x = x + torch.linear(torch.gelu(torch.linear(y, self.up.weight)), self.down.weight)\n"
           "  return torch.linear(x, self.h.weight)\n",
       {2, 5, 6}},
  };
}

}  // namespace cpd::testing
