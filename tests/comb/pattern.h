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

}  // namespace cpd::testing
