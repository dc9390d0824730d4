#include <ATen/ops/zeros.h>
#include <cpd/algorithms/regularisation.h>
#include <cpd/core/error.h>

#include <algorithm>

namespace cpd {

Regularisation::Regularisation(ShrinkingNetwork& network, Regulariser regulariser)
    : network_(network), regulariser_(std::move(regulariser)) {}

void Regularisation::add_to_gradients(const Plan& next) {
  if (version_ != network_.version()) find_units();
  for (const auto& unit : units_) {
    const at::Tensor norms = unit.weights.norms();
    at::Tensor factors = regulariser_.factors(norms, updates_);
    if (factors.sizes() != norms.sizes()) {
      throw Error("the regulariser '" + regulariser_.name + "' gives " +
                      std::to_string(factors.numel()) + " factors",
                  {}, "one for each of " + std::to_string(norms.numel()) + " channels");
    }
    if (regulariser_.chosen_only) factors = factors.mul(chosen(unit, next).to(factors.device()));
    unit.weights.add_to_gradients(factors);
  }
  ++updates_;
}

void Regularisation::find_units() {
  const Combing& combing = network_.model().combing();
  const auto places = network_.places();
  units_.clear();
  for (size_t g = 0; g < places.size(); ++g) {
    const bool found = !places[g].channels.empty();
    if (!found || !network_.mutator().units()[places[g].group]->is_mutable()) continue;
    units_.push_back(
        {ChannelWeights(network_.model().model(), combing, combing.groups[g]), places[g]});
  }
  version_ = network_.version();
}

/// 1 for the channels that the next pruning removes.
at::Tensor Regularisation::chosen(const Unit& unit, const Plan& next) const {
  const auto& whole = *network_.mutator().units()[unit.place.group];
  const auto& kept = next.units.at(whole.name()).kept;
  at::Tensor result = at::zeros({unit.weights.channels()});
  auto* data = result.mutable_data_ptr<float>();
  for (size_t i = 0; i < unit.place.channels.size(); ++i) {
    const int64_t channel = unit.place.channels[i], of = whole.num_channels();
    const Indices& block = kept[static_cast<size_t>(channel / of)];
    if (!std::binary_search(block.begin(), block.end(), channel % of)) data[i] = 1;
  }
  return result;
}

}  // namespace cpd
