// A score of one's own: the largest weight of a channel.
#include <ATen/ops/amax.h>
#include <cpd/cpd.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

#include <iostream>

cpd::Scores largest_weight(const cpd::ChannelGroup& unit, const cpd::ScoreContext& context) {
  cpd::Scores scores(unit.blocks.size(), std::vector<double>(static_cast<size_t>(unit.of), 0.0));
  for (const auto& member : unit.members) {
    if (member.role != cpd::Role::kWriter) continue;
    const auto rows = cpd::position_rows(context.model, context.combing, member);
    const auto largest = rows.abs().amax(1);
    for (const auto& [position, channel] : member.entries) {
      double& score =
          scores[static_cast<size_t>(channel / unit.of)][static_cast<size_t>(channel % unit.of)];
      score = std::max(score, largest[position].item<double>());
    }
  }
  return scores;
}

int main() {
  auto network = cpd::make_network(cpd::parse_network("zoo:resnet20"), 0);
  network->eval();
  const auto example = cpd::random_input(cpd::input({2, 3, 32, 32}), 0);

  cpd::OneShot algorithm(cpd::trace_model(network, {example}),
                         {.mutator = {.importance = {"largest_weight", largest_weight}},
                          .allocation = "uniform",
                          .budget = {.macs = 0.5}});
  const cpd::Report report = algorithm.run();
  std::cout << "scored by " << report.importance << "\n"
            << "half of the MACs or less: "
            << (2 * report.after.macs <= report.before.macs ? "yes" : "no") << "\n";
}
