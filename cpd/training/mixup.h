#pragma once

#include <cpd/data/loader.h>

#include <cstdint>

namespace cpd {

/// A batch whose images are mixed with those of another order: the loss is `weight` times that with
/// the labels of `batch` plus the rest times that with `other_labels`.
struct MixedBatch {
  Batch batch;
  at::Tensor other_labels;
  double weight = 1;
};

/// Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018: one weight from
/// Beta(alpha, alpha) for a batch. For alpha 0 the batch stays as it is.
MixedBatch mixed(const Batch& batch, double alpha, uint64_t seed);

}  // namespace cpd
