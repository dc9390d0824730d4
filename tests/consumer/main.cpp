// Reads a small network's trace and says how many groups of channels it has.
#include <cpd/cpd.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>

#include <iostream>

int main() {
  const auto spec = cpd::parse_network("zoo:resnet20:classes=10:size=32");
  const auto network = cpd::make_network(spec, 1);
  network->eval();
  const auto example = cpd::random_input(cpd::input({2, 3, 32, 32}), 1);
  const cpd::Model model = cpd::trace_model(network, {example});
  const cpd::Combing combing = cpd::comb(model);
  std::cout << model.graph.text().substr(0, 200) << "\n"
            << combing.groups.size() << " groups of channels\n";
  return combing.groups.empty() ? 1 : 0;
}
