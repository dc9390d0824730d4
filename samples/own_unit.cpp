// A unit kind of one's own, which keeps neighbours, and a mutator of one's own, which prunes late
// layers more than early ones.
#include <cpd/cpd.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

#include <iostream>
#include <numeric>

class FirstChannelsUnit : public cpd::MutableChannelUnit {
 public:
  using MutableChannelUnit::MutableChannelUnit;
  std::string type() const override { return "FirstChannelsUnit"; }
  /// The first k channels, whatever their scores.
  cpd::Indices select(const std::vector<double>& /*scores*/, int64_t k) const override {
    cpd::Indices kept(static_cast<size_t>(k));
    std::iota(kept.begin(), kept.end(), 0);
    return kept;
  }
};

class FunnelMutator : public cpd::ChannelMutator {
 public:
  using ChannelMutator::ChannelMutator;
  std::string type() const override { return "FunnelMutator"; }
  /// From nearly everything in the first unit down to the budget's ratio in the last one.
  cpd::Choices allocate(const cpd::Budget& budget, const cpd::Allocator& /*allocator*/) override {
    const auto units = mutable_units();
    cpd::Choices choices;
    for (size_t i = 0; i < units.size(); ++i) {
      const double depth = static_cast<double>(i + 1) / static_cast<double>(units.size());
      choices[units[i]->name()] = 1 - depth * (1 - budget.ratio.value_or(0.5));
    }
    set_choices(choices);
    return choices;
  }
};

int main() {
  auto network = cpd::make_network(cpd::parse_network("zoo:vgg11:classes=10:size=32"), 0);
  network->eval();
  const auto example = cpd::random_input(cpd::input({2, 3, 32, 32}), 0);
  cpd::MutatorOptions options;
  options.make_unit = cpd::unit_factory<FirstChannelsUnit>();
  options.unit.choice_mode = cpd::ChoiceMode::kNumber;
  auto mutator = std::make_unique<FunnelMutator>(cpd::trace_model(network, {example}), options);

  cpd::OneShot algorithm(std::move(mutator), {.budget = {.ratio = 0.25}});
  algorithm.run();
  std::cout << cpd::to_json(algorithm.mutator().current_choices());
}
