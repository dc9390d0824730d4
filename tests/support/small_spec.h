#pragma once

#include <cpd/zoo/zoo.h>

#include <string>

namespace cpd::testing {

/// A network of the zoo for small images; transformers shallow and narrow.
inline NetworkSpec small_spec(const std::string& name, int64_t classes = 5, int64_t channels = 3,
                              int64_t side = 32) {
  const NetworkSpec published = published_spec(name);
  NetworkSpec spec{name, classes, channels, side, side};
  if (published.depth > 0) spec.depth = published.heads > 0 ? 2 : 1;
  if (published.embedding > 0) spec.embedding = published.heads > 0 ? 24 : 8;
  if (published.heads > 0) spec.heads = 3;
  return spec;
}

}  // namespace cpd::testing
