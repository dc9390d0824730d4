// An op that cpd does not know locks the channels that it sees. A rule says how it carries them,
// and a dynamic op how it runs while some are removed.
#include <ATen/ops/special_i0e.h>
#include <cpd/cpd.h>
#include <torch/nn/modules/linear.h>

#include <iostream>

struct Network : torch::nn::Module {
  Network() {
    register_module("first", first);
    register_module("last", last);
  }
  at::Tensor forward(const at::Tensor& x) {
    return last->forward(at::special_i0e(first->forward(x)));
  }

  torch::nn::Linear first = torch::nn::Linear(6, 8);
  torch::nn::Linear last = torch::nn::Linear(8, 4);
};

/// Each position by itself: what is not kept does not matter.
class DynamicBessel : public cpd::DynamicOp {
 public:
  using DynamicOp::DynamicOp;
  void run_masked(cpd::OpRun& run) const override { run.run(); }
};

cpd::MutatorOptions with_bessel() {
  const std::string kind = "aten::special_i0e";
  cpd::MutatorOptions options;
  options.rules.add(kind, {.comb = [](cpd::RuleContext& context) {
                      const auto input = context.op().operands().front();
                      context.set(context.op().outputs.front(), context.labels(input));
                    }});
  options.dynamic_ops.add(kind, cpd::dynamic_op_factory<DynamicBessel>());
  return options;
}

int main() {
  auto network = std::make_shared<Network>();
  const auto example = cpd::random_input(cpd::input({2, 6}), 0);
  const cpd::Model model = cpd::trace_model(network, {example});

  std::cout << "without a rule: " << cpd::ChannelMutator(model).mutable_units().size()
            << " units to prune\n";
  cpd::ChannelMutator mutator(model, with_bessel());
  std::cout << "with one: " << mutator.mutable_units().size() << "\n";
  mutator.set_choices({{mutator.units().front()->name(), 0.5}});
  const auto masked = mutator.model().forward(example);
  mutator.model().set_mode(cpd::RunMode::kCompact);
  const double difference = (masked - mutator.model().forward(example)).abs().max().item<double>();
  std::cout << "masked and compact runs agree: " << (difference < 1e-5 ? "yes" : "no") << "\n";
}
