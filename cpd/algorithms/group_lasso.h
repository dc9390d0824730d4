#pragma once

#include <cpd/algorithms/regulariser.h>

namespace cpd {

/// Group lasso: the loss grows by strength * the sum over all channels of the Euclidean norm of all
/// weights of the channel, of whichever layers they are. Yuan and Lin, Model selection and
/// estimation in regression with grouped variables, 2006; for channels Wen et al., Learning
/// Structured Sparsity in Deep Neural Networks, NeurIPS 2016.
struct GroupLassoOptions {
  double strength = 1e-3;

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path) const;
};

/// Keys are the names of the fields.
void read_json(const Json& json, const std::string& path, GroupLassoOptions& options);

Regulariser regulariser(const GroupLassoOptions& options);

}  // namespace cpd
