#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <cpd/compensation/refit.h>

#include <algorithm>

namespace cpd {
namespace {

/// Numbers that are widened at a time.
constexpr int64_t kPiece = int64_t{1} << 20;

struct Moments {
  at::Tensor mean, variance;
};

/// Of the channels (dimension 1) of all batches, in double precision.
Moments moments(size_t batches, const std::function<at::Tensor(size_t)>& value_of) {
  at::Tensor sum, squares;
  double count = 0;
  for (size_t b = 0; b < batches; ++b) {
    const at::Tensor value = value_of(b);
    if (b == 0) {
      sum = at::zeros({value.size(1)}, value.options().dtype(at::kDouble));
      squares = at::zeros_like(sum);
    }
    const int64_t samples =
        std::max<int64_t>(1, kPiece * value.size(0) / std::max<int64_t>(1, value.numel()));
    for (const at::Tensor& piece : value.split(samples)) {
      const at::Tensor wide = piece.transpose(0, 1).flatten(1).to(at::kDouble);
      sum.add_(wide.sum(1));
      squares.add_(wide.square().sum(1));
      count += static_cast<double>(wide.size(1));
    }
  }
  const at::Tensor mean = sum.div(count);
  return {mean, squares.div(count).sub(mean.square()).clamp_min(0)};
}

}  // namespace

/// With the new statistics the norm's result has, on this data, the mean and variance that it has
/// in the dense network.
void Recalibrate::visit(OpId id) {
  const Op& op = sweep_.graph().op(id);
  if (op.kind != "aten::batch_norm" || !op.has("running_mean") || !op.has("running_var")) return;
  const ValueId mean = op.tensor("running_mean"), variance = op.tensor("running_var");
  for (const ValueId value : {mean, variance}) {
    const bool parameter = sweep_.graph().value(value).kind == ValueKind::kParameter;
    if (!parameter || users_[static_cast<size_t>(value)].size() != 1) return;
  }
  const ValueId input = op.tensor("input");
  const ValueId twin = sweep_.twin(id, input);
  const Moments dense = moments(sweep_.batches(), [&](size_t b) { return sweep_.dense(b, twin); });
  const Moments pruned =
      moments(sweep_.batches(), [&](size_t b) { return sweep_.pruned(b, input); });
  const double eps = op.real("eps");
  const at::Tensor old_mean = sweep_.dense(0, mean).to(at::kDouble);
  const at::Tensor old_variance = sweep_.dense(0, variance).to(at::kDouble);
  const at::Tensor ratio = pruned.variance.add(eps).div(dense.variance.add(eps));
  const at::Tensor new_variance = old_variance.add(eps).mul(ratio).sub(eps).clamp_min(0);
  const at::Tensor new_mean = pruned.mean.sub(dense.mean.sub(old_mean).mul(ratio.sqrt()));
  sweep_.set_parameter(mean, new_mean.to(sweep_.parameter(mean).scalar_type()));
  sweep_.set_parameter(variance, new_variance.to(sweep_.parameter(variance).scalar_type()));
}

}  // namespace cpd
