#include <cpd/training/divergence.h>

#include <algorithm>
#include <cmath>

namespace cpd {
namespace {

constexpr double kDecay = 0.9;

}  // namespace

bool DivergenceWatch::diverges(double loss) {
  if (!std::isfinite(loss)) return true;
  if (steps_ == 0) first_ = loss;
  running_ = steps_ == 0 ? loss : kDecay * running_ + (1 - kDecay) * loss;
  ++steps_;
  return factor_ > 0 && running_ > factor_ * std::max(1.0, first_);
}

Json DivergenceWatch::state() const {
  return {{"steps", steps_}, {"first", first_}, {"running", running_}};
}

void DivergenceWatch::set_state(const Json& state) {
  JsonObject(state, "divergence")
      .require("steps", steps_)
      .require("first", first_)
      .require("running", running_)
      .finish();
}

}  // namespace cpd
