#pragma once

#include <cpd/exporters/export.h>
#include <cpd/mutators/channel_mutator.h>

#include <memory>
#include <string>

namespace cpd {

/// Writes the network of a mutator as it is pruned now: dense, smaller, certified from the graph
/// alone, loaded again and compared before it takes its name. The plan travels inside the file.
ExportResult export_torchscript(const ChannelMutator& mutator, const std::string& path,
                                ExportOptions options = {});
/// The same as safetensors, for people who have the network's source in Python.
ExportResult export_state_dict(const ChannelMutator& mutator, const std::string& path,
                               ExportOptions options = {});
/// The same in memory: a module with the original's parameter names that can be trained.
std::shared_ptr<CompactModule> export_module(const ChannelMutator& mutator);

}  // namespace cpd
