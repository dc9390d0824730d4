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

}  // namespace cpd::testing
