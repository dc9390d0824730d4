#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/_standard_gamma.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <cpd/core/random.h>
#include <cpd/training/mixup.h>

namespace cpd {

MixedBatch mixed(const Batch& batch, double alpha, uint64_t seed) {
  if (alpha == 0) return {batch, batch.labels, 1};
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor gammas = at::_standard_gamma(at::full({2}, alpha, at::kDouble), generator);
  const double first = gammas[0].item<double>(), second = gammas[1].item<double>();
  const double weight = first + second > 0 ? first / (first + second) : 1;
  const at::Tensor order = at::tensor(permutation(batch.labels.size(0), mix(seed, 1)), at::kLong)
                               .to(batch.labels.device());
  const at::Tensor others = batch.images.index_select(0, order);
  return {{batch.images.mul(weight).add(others, 1 - weight), batch.labels},
          batch.labels.index_select(0, order),
          weight};
}

}  // namespace cpd
