#include <cpd/exporters/export_pruned.h>

namespace cpd {
namespace {

/// What is kept, as a smaller graph: accepted only with its certificate.
const Compaction& certified(const ChannelMutator& mutator) {
  certify(mutator);
  return mutator.model().compaction();
}

ExportOptions with_plan(const ChannelMutator& mutator, ExportOptions options) {
  options.extra_files.try_emplace("plan.json", to_json(mutator.plan()));
  return options;
}

}  // namespace

ExportResult export_torchscript(const ChannelMutator& mutator, const std::string& path,
                                ExportOptions options) {
  return export_torchscript(mutator.valued(), certified(mutator), path,
                            with_plan(mutator, std::move(options)));
}

ExportResult export_state_dict(const ChannelMutator& mutator, const std::string& path,
                               ExportOptions options) {
  return export_state_dict(mutator.valued(), certified(mutator), path,
                           with_plan(mutator, std::move(options)));
}

std::shared_ptr<CompactModule> export_module(const ChannelMutator& mutator) {
  return export_module(mutator.valued(), certified(mutator));
}

}  // namespace cpd
