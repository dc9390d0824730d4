#pragma once

#include <cpd/model/model.h>

namespace cpd {

/// Does an operator draw random numbers whatever mode the network is in? Dropout does not.
bool draws_random_numbers(const std::string& kind);
/// The first op of a graph that does; null if there is none.
const Op* random_op(const Graph& graph);

/// Branches that a trace in training mode drops at random (stochastic depth, Huang et al. 2016,
/// "Deep Networks with Stochastic Depth"): `x * mask / rate` with a mask of ones and zeros, drawn
/// by `bernoulli(rate)` or as `floor(rand + rate)`, becomes `x * dropout(ones, 1 - rate,
/// training)`, so that it follows the network's mode. Returns how many were found.
int write_stochastic_depth(Model& model);

/// Throws cpd::Error, at the first op that draws random numbers, if the outputs in evaluation mode
/// depend on them.
void refuse_random_outputs(const Model& model);

}  // namespace cpd
