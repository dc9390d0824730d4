#pragma once

#include <gtest/gtest.h>
#include <support/network.h>

namespace cpd::testing {

/// A smallest network for one pattern: `check_network` must have nothing to say about it.
class Pattern : public ::testing::TestWithParam<Network> {};

inline void PrintTo(const Network& network, std::ostream* out) { *out << network.name; }

inline std::string name_of_pattern(const ::testing::TestParamInfo<Network>& info) {
  return info.param.name;
}

inline Weight buffer(const std::string& name, Shape shape) {
  return {name, std::move(shape), true};
}
inline Weight indices(const std::string& name, std::vector<int64_t> values) {
  return {name, {static_cast<int64_t>(values.size())}, true, values};
}

/// conv(channels) on an image, then `body` makes y of y, then a convolution that reads it.
inline Network after_stem(const std::string& name, int64_t channels, const std::string& body,
                          int64_t read, const std::string& units, std::vector<Weight> more = {}) {
  Network network;
  network.name = name;
  network.weights = {{"stem", {channels, 3, 1, 1}}, {"head", {5, read, 1, 1}}};
  network.weights.insert(network.weights.end(), more.begin(), more.end());
  network.source = "def forward(self, x):\n    y = torch.conv2d(x, self.stem)\n" + body +
                   "    return torch.conv2d(y, self.head)\n";
  network.inputs = {{2, 3, 4, 4}};
  network.units = units;
  return network;
}

/// linear(channels) on tokens [batch, 5, 10], then `body` makes y of y, then a linear layer.
inline Network after_linear(const std::string& name, int64_t channels, const std::string& body,
                            int64_t read, const std::string& units, std::vector<Weight> more = {}) {
  Network network;
  network.name = name;
  network.weights = {{"stem", {channels, 10}}, {"head", {5, read}}};
  network.weights.insert(network.weights.end(), more.begin(), more.end());
  network.source = "def forward(self, x):\n    y = torch.linear(x, self.stem)\n" + body +
                   "    return torch.linear(y, self.head)\n";
  network.inputs = {{2, 5, 10}};
  network.units = units;
  return network;
}

/// The network with a masked twin whose body is another one. `m` is the mask of the stem's filters,
/// in the shape in which it meets y.
inline Network with_twin(Network network, const std::string& body, const std::string& masked) {
  const bool image = network.inputs[0].size() == 4;
  network.twin = network.source;
  network.twin.replace(network.twin.find(body), body.size(),
                       "    m = self.keep_stem_0.view([" +
                           std::string(image ? "1, -1, 1, 1" : "-1") + "])\n" + masked);
  return network;
}

/// The network with a list of what has to stay.
inline Network staying(Network network, std::vector<std::string> stays) {
  network.stays = std::move(stays);
  return network;
}

inline std::vector<Weight> with(std::vector<Weight> weights, const std::vector<Weight>& more) {
  weights.insert(weights.end(), more.begin(), more.end());
  return weights;
}

}  // namespace cpd::testing
