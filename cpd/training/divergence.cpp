#include <cpd/training/divergence.h>

#include <algorithm>
#include <cmath>

namespace cpd {
namespace {

constexpr int64_t kFirstSteps = 10;
constexpr double kDecay = 0.8;

}  // namespace

bool DivergenceWatch::diverges(double loss) {
  if (!std::isfinite(loss)) return true;
  running_ = steps_ == 0 ? loss : kDecay * running_ + (1 - kDecay) * loss;
  if (steps_ < kFirstSteps) first_ += (loss - first_) / static_cast<double>(steps_ + 1);
  ++steps_;
  return factor_ > 0 && steps_ > kFirstSteps && running_ > factor_ * std::max(1.0, first_);
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
