#pragma once

#include <cpd/comb/combing.h>
#include <cpd/comb/compaction.h>
#include <cpd/model/model.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cpd {

/// Where the channels of a group of a smaller network stand in the network that it was cut from.
struct MappedGroup {
  size_t group = 0;               ///< of the larger network's `Combing::groups`
  std::vector<int64_t> channels;  ///< for each channel (block * of + index) that of the larger one
};

/// For each group of the smaller network its group in the larger one, found by the parameters that
/// both own and how these were `cut` (by name; a parameter that is not named is whole); a group
/// that has no counterpart has no channels.
std::vector<MappedGroup> map_channels(const Model& small, const Combing& small_combing,
                                      const Model& large, const Combing& large_combing,
                                      const std::map<std::string, Gather>& cut);

}  // namespace cpd
