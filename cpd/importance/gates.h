#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/combing.h>

#include <vector>

namespace cpd {

/// The channels of one unit among the positions of a value.
struct GateChannels {
  size_t group = 0;              ///< `Combing::groups`
  std::vector<int64_t> extents;  ///< of the label array: dimensions of extent 1 are summed over
  at::Tensor positions;          ///< row-major over the extents
  at::Tensor channels;           ///< channel (block * of + index) at each position
};

/// Where an op reads the channels of units.
struct Gate {
  OpId op = -1;
  ValueId value = -1;
  std::vector<GateChannels> units;
};

/// One gate for each value that each reader reads. Units whose channels no parameter sums over
/// (queries and keys) get theirs at the first operand of the product that does, or where an op
/// carries them no further.
std::vector<Gate> gates_of(const Model& model, const Combing& combing);

}  // namespace cpd
