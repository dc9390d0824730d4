#include <cpd/allocation/proposer.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <numeric>

namespace cpd {
namespace {

int64_t sum(const Widths& widths) {
  return std::accumulate(widths.begin(), widths.end(), int64_t{0});
}

double checked(double share, const char* path) {
  if (share > 0 && share < 1) return share;
  throw Error("the value is " + std::to_string(share), {.path = path}, "more than 0, less than 1");
}

}  // namespace

UniformProposer::UniformProposer(const AllocationProblem& problem, double step)
    : problem_(problem), last_(problem.largest()), step_(checked(step, "step")) {}

std::optional<Widths> UniformProposer::try_more() {
  constexpr double kSmallest = 1e-9;
  while (last_ != problem_.smallest()) {
    ++proposals_;
    const double ratio = std::max(kSmallest, 1 - static_cast<double>(proposals_) * step_);
    Widths widths = ratio_widths(problem_.units, ratio);
    // A ratio may round to what was proposed before.
    if (widths == last_ && ratio > kSmallest) continue;
    if (widths == last_) return std::nullopt;
    return last_ = std::move(widths);
  }
  return std::nullopt;
}

GreedyProposer::GreedyProposer(const AllocationProblem& problem, double share)
    : descent_(problem),
      channels_(std::max<int64_t>(
          1, static_cast<int64_t>(checked(share, "share") *
                                  static_cast<double>(sum(problem.largest()))))) {}

std::optional<Widths> GreedyProposer::try_more() {
  const int64_t before = sum(descent_.widths());
  while (before - sum(descent_.widths()) < channels_) {
    if (!descent_.step()) break;
  }
  if (sum(descent_.widths()) == before) return std::nullopt;
  return descent_.widths();
}

Widths allocate_until(const AllocationProblem& problem, Proposer& proposer,
                      const std::function<bool(const Widths&)>& is_achieved) {
  Widths widths = problem.largest();
  while (!is_achieved(widths)) {
    const auto more = proposer.try_more();
    if (!more) {
      throw Error("the objective is not achieved even with the smallest widths that were proposed",
                  {}, "an objective that can be achieved, or fewer frozen units and bounds");
    }
    widths = *more;
  }
  return widths;
}

Widths allocate_while(const AllocationProblem& problem, Proposer& proposer,
                      const std::function<bool(const Widths&)>& holds) {
  Widths widths = problem.largest();
  if (!holds(widths)) {
    throw Error("what is to hold does not hold even for the largest widths", {},
                "an objective that the network meets before it is pruned");
  }
  for (auto more = proposer.try_more(); more && holds(*more); more = proposer.try_more()) {
    widths = std::move(*more);
  }
  return widths;
}

}  // namespace cpd
