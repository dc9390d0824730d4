#pragma once

#include <cpd/allocation/allocation.h>
#include <cpd/allocation/budget.h>
#include <cpd/comb/combing.h>
#include <cpd/cost/latency_table.h>

#include <vector>

namespace cpd {

/// The limits that a budget means for a network; none for a ratio, which is a rule. `groups` has
/// for each unit of the problem its position in `Combing::groups`; all other groups stay whole.
/// `model` and `combing` must outlive the limits. `latencies` may be null where the budget has
/// none.
std::vector<Limit> limits_of(const Budget& budget, const Model& model, const Combing& combing,
                             const std::vector<size_t>& groups, const LatencyTable* latencies);

}  // namespace cpd
