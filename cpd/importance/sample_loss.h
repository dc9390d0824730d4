#pragma once

#include <cpd/importance/statistics.h>

namespace cpd {

/// The loss of a batch, summed over its samples, which have the numbers `first_sample`, ... Drawn
/// labels depend on the seed and a sample's number alone. Throws cpd::Error for labels that do not
/// fit, outputs that cross entropy cannot take, or a loss that is not finite.
at::Tensor sample_loss(const std::vector<at::Tensor>& outputs, const at::Tensor& labels,
                       int64_t samples, int64_t first_sample, const StatisticsOptions& options);

}  // namespace cpd
