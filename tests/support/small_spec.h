#pragma once

#include <cpd/zoo/zoo.h>

#include <string>

namespace cpd::testing {

/// Of images: 32, or less where a network can take it and is slow.
inline int64_t small_side(const std::string& name) {
  const auto is = [&](const char* family) { return name.rfind(family, 0) == 0; };
  return is("resnet") || is("densenet") || is("mobilenet") || is("mnasnet") ? 16 : 32;
}

/// A network of the zoo for small images; transformers shallow and narrow.
inline NetworkSpec small_spec(const std::string& name, int64_t classes = 5, int64_t channels = 3,
                              int64_t side = 0) {
  const NetworkSpec published = published_spec(name);
  if (side == 0) side = small_side(name);
  NetworkSpec spec{name, classes, channels, side, side};
  if (published.depth > 0) spec.depth = published.heads > 0 ? 2 : 1;
  if (published.embedding > 0) spec.embedding = published.heads > 0 ? 24 : 8;
  if (published.heads > 0) spec.heads = 3;
  return spec;
}

}  // namespace cpd::testing
