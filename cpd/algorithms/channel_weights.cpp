#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/util/accumulate.h>
#include <cpd/algorithms/channel_weights.h>

namespace cpd {

ChannelWeights::ChannelWeights(const Model& model, const Combing& combing,
                               const ChannelGroup& group)
    : channels_(static_cast<int64_t>(group.blocks.size()) * group.of) {
  for (const auto& member : group.members) {
    const at::Tensor& weight = model.parameter(member.parameter).tensor;
    if (!weight.requires_grad()) continue;
    Part part{weight, {}, combing.arrays[static_cast<size_t>(member.array)].extents, {}};
    part.channels = at::full({c10::multiply_integers(part.extents)}, channels_, at::kLong);
    auto* channels = part.channels.mutable_data_ptr<int64_t>();
    for (const auto& [position, channel] : member.entries) channels[position] = channel;
    part.channels = part.channels.to(weight.device());
    for (size_t d = 0; d < part.extents.size(); ++d) {
      if (part.extents[d] == 1) part.over.push_back(static_cast<int64_t>(d));
    }
    parts_.push_back(std::move(part));
  }
}

at::Tensor ChannelWeights::norms() const {
  const at::NoGradGuard no_grad;
  at::Tensor squares = at::zeros({channels_ + 1});
  for (const auto& part : parts_) {
    at::Tensor own = part.weight.detach().to(at::kFloat).square();
    if (!part.over.empty()) own = own.sum(part.over, /*keepdim=*/true);
    squares = squares.to(own.device()).index_add(0, part.channels, own.reshape({-1}));
  }
  return squares.narrow(0, 0, channels_).sqrt();
}

void ChannelWeights::add_to_gradients(const at::Tensor& factors) const {
  const at::NoGradGuard no_grad;
  const at::Tensor padded = at::cat({factors, at::zeros({1}, factors.options())});
  for (const auto& part : parts_) {
    at::Tensor gradient = part.weight.grad();
    if (!gradient.defined()) continue;
    const at::Tensor spread = padded.to(part.weight.options().requires_grad(false))
                                  .index_select(0, part.channels)
                                  .view(part.extents);
    gradient.add_(part.weight.detach().mul(spread));
  }
}

}  // namespace cpd
