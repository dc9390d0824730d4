#include <cpd/mutators/groups_of.h>
#include <cpd/units/plan_of.h>

#include <algorithm>

namespace cpd {
namespace {

/// Where the positions of a member's label array stand along the parameter's dimension.
GroupMember member_of(const Model& model, const Combing& combing, const ChannelGroup& group,
                      const Member& member) {
  const FormArray& array = combing.arrays[static_cast<size_t>(member.array)];
  const auto dim = static_cast<size_t>(member.dim);
  int64_t inner = 1;
  for (size_t d = dim + 1; d < array.extents.size(); ++d) inner *= array.extents[d];
  GroupMember result;
  result.parameter = model.parameter(member.parameter).name;
  result.dim = member.dim;
  result.role = name_of(member.role);
  result.indices.resize(group.blocks.size());
  for (const auto& [position, channel] : member.entries) {
    auto& indices = result.indices[static_cast<size_t>(channel / group.of)];
    indices.push_back(position / inner % array.extents[dim]);
  }
  for (auto& indices : result.indices) {
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  }
  return result;
}

GroupEntry entry_of(const Model& model, const Combing& combing, const ChannelGroup& group) {
  GroupEntry entry;
  entry.kind = name_of(group.kind);
  entry.level = name_of(group.level);
  entry.role = group.role;
  entry.of = group.of;
  entry.blocks = static_cast<int64_t>(group.blocks.size());
  entry.offered = group.offered;
  entry.reason = group.reason;
  for (const auto& member : group.members) {
    entry.members.push_back(member_of(model, combing, group, member));
  }
  return entry;
}

}  // namespace

std::vector<LockedEntry> locked_of(const Model& model, const Combing& combing) {
  std::vector<LockedEntry> result;
  for (const auto& locked : combing.locked) {
    LockedEntry entry;
    entry.parameter = model.parameter(locked.parameter).name;
    entry.dim = locked.dim;
    entry.count = locked.count;
    entry.reason = locked.reason;
    if (locked.op >= 0) entry.op = model.graph.op(locked.op).kind;
    entry.source = locked.where.text();
    result.push_back(entry);
  }
  return result;
}

Groups groups_of(const Model& model, const Combing& combing) {
  Groups groups;
  groups.model = identity_of(model);
  for (const auto& group : combing.groups) {
    groups.units[group.name] = entry_of(model, combing, group);
  }
  groups.locked = locked_of(model, combing);
  groups.unknown_ops = combing.unknown_ops;
  return groups;
}

Groups groups_of(const ChannelMutator& mutator) {
  Groups groups = groups_of(mutator.dense(), mutator.combing());
  for (const auto& unit : mutator.units()) {
    GroupEntry& entry = groups.units.at(unit->name());
    const Bounds bounds = unit->bounds();
    entry.frozen = unit->group().offered && !unit->is_mutable();
    entry.min = bounds.min;
    entry.max = bounds.max;
    entry.divisor = bounds.divisor;
  }
  return groups;
}

MutatorOptions with_groups(MutatorOptions options, const Groups& edited, const Model& model) {
  CombOptions comb_options;
  comb_options.rules = &options.rules;
  comb_options.seed = options.seed;
  const auto is_block = [](const GroupEntry& unit) {
    return unit.kind == name_of(UnitKind::kBlocks);
  };
  options.blocks = options.offers_blocks() ||
                   std::any_of(edited.units.begin(), edited.units.end(),
                               [&](const auto& unit) { return is_block(unit.second); });
  comb_options.blocks = options.blocks;
  check_edited(edited, groups_of(model, comb(model, comb_options)));
  for (const auto& [name, entry] : edited.units) {
    UnitOverride unit;
    unit.frozen = entry.frozen || (is_block(entry) && entry.min > 0);
    unit.min_value = entry.min;
    unit.max_value = entry.max;
    unit.divisor = entry.divisor;
    unit.row_divisor = entry.divisor;
    options.units.emplace_back(name, unit);
  }
  return options;
}

}  // namespace cpd
