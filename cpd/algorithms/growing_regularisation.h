#pragma once

#include <cpd/algorithms/regulariser.h>

namespace cpd {

/// Growing regularisation: the loss grows by penalty / 2 * the squares of all weights of the
/// channels that are to be removed, with a penalty that rises by `delta` each `every` updates until
/// it is `most`. Wang et al., Neural Pruning via Growing Regularization, ICLR 2021 (GReg-1).
struct GrowingOptions {
  double delta = 1e-3;
  int64_t every = 5;
  double most = 1;

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path) const;
};

/// Keys are the names of the fields.
void read_json(const Json& json, const std::string& path, GrowingOptions& options);

Regulariser regulariser(const GrowingOptions& options);

}  // namespace cpd
