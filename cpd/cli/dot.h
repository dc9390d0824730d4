#pragma once

#include <cpd/mutators/channel_mutator.h>

#include <string>

namespace cpd::cli {

/// The network as a picture for Graphviz: ops with their layers, and on each edge between them the
/// units whose channels it carries, in a colour for each unit.
std::string dot_of(const ChannelMutator& mutator);

}  // namespace cpd::cli
