#pragma once

#include <cpd/allocation/allocation.h>

#include <vector>

namespace cpd {

/// One width that a unit may take, what it costs and what it loses.
struct WidthOption {
  int64_t width = 0;
  double cost = 0;
  double loss = 0;
};

/// Of each unit one option so that the costs add up to `limit` at most and the losses to as little
/// as can be. Exact as long as no more than `most_states` combinations of cost and loss are worth
/// keeping on the way; beyond that the better one of near costs is kept, still without exceeding
/// the limit. Empty if no combination fits.
Widths cheapest_combination(const std::vector<std::vector<WidthOption>>& units, double limit,
                            size_t most_states = 4096);

/// The dynamic programme over the widths of all units. Exact where costs add up per unit. Where
/// they do not (a convolution costs input times output width) each sweep takes what one unit costs
/// with the others as they are, and sweeps follow until nothing is gained; the limits hold in any
/// case. With several limits the cost is the largest share of a limit. Units with many widths are
/// tried at `kMostOptions` of them; single steps come back where they fit.
Allocation allocate_dynamic_programme(const AllocationProblem& problem);

}  // namespace cpd
