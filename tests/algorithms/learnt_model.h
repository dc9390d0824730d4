#pragma once

#include <cpd/model/model.h>
#include <training/fixture.h>

namespace cpd::testing {

/// A network that has learnt the bright images.
inline Model learnt_model() {
  const auto network = std::make_shared<SmallNetwork>();
  Loader training = loader_of(96, 1, true);
  train(*trainable(network), {training}, {.epochs = 6, .optimiser = {.lr = 0.05}}, {.quiet = true});
  network->eval();
  return trace_model(network, {torch::rand({2, 1, 8, 8})});
}

}  // namespace cpd::testing
