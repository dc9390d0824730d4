#include <ATen/ops/full.h>
#include <c10/util/accumulate.h>
#include <cpd/algorithms/channel_map.h>

#include <algorithm>
#include <limits>
#include <set>

namespace cpd {
namespace {

/// For each element of a parameter the channel of the member that it belongs to, or -1.
at::Tensor channel_ids(const Model& model, const Combing& combing, const Member& member) {
  const FormArray& array = combing.arrays[static_cast<size_t>(member.array)];
  at::Tensor ids = at::full({c10::multiply_integers(array.extents)}, -1, at::kLong);
  auto* data = ids.mutable_data_ptr<int64_t>();
  for (const auto& [position, channel] : member.entries) data[position] = channel;
  return ids.view(array.extents).expand(model.parameter(member.parameter).tensor.sizes());
}

/// Names of the parameters of a residual block.
std::set<std::string> parameters_of(const Combing& combing, const ChannelGroup& group) {
  for (const auto& block : combing.blocks) {
    if (block.primitive != group.blocks.front().front()) continue;
    return {block.parameters.begin(), block.parameters.end()};
  }
  return {};
}

class Mapping {
 public:
  Mapping(const Model& small, const Combing& small_combing, const Model& large,
          const Combing& large_combing, const std::map<std::string, Gather>& cut)
      : small_(small),
        small_combing_(small_combing),
        large_(large),
        large_combing_(large_combing),
        cut_(cut) {
    for (size_t g = 0; g < large_combing.groups.size(); ++g) {
      for (const auto& member : large_combing.groups[g].members) {
        const std::string& name = large.parameter(member.parameter).name;
        owners_[{name, member.dim}].emplace_back(g, &member);
      }
    }
  }

  /// Tries the members one after another: any of them can tell.
  MappedGroup of(const ChannelGroup& group) const {
    if (group.kind == UnitKind::kBlocks) return block_of(group);
    for (const auto& member : group.members) {
      const std::string& name = small_.parameter(member.parameter).name;
      const auto owners = owners_.find({name, member.dim});
      if (owners == owners_.end()) continue;
      for (const auto& [candidate, owner] : owners->second) {
        if (large_combing_.groups[candidate].kind != group.kind) continue;
        MappedGroup mapped{candidate, channels(group, member, *owner, name)};
        if (!mapped.channels.empty()) return mapped;
      }
    }
    return {};
  }

 private:
  /// The smallest block that has all of its parameters: blocks inside it may be gone.
  MappedGroup block_of(const ChannelGroup& group) const {
    const auto parameters = parameters_of(small_combing_, group);
    MappedGroup mapped;
    size_t least = std::numeric_limits<size_t>::max();
    for (const auto& block : large_combing_.blocks) {
      const std::set<std::string> all(block.parameters.begin(), block.parameters.end());
      const bool has_all =
          std::includes(all.begin(), all.end(), parameters.begin(), parameters.end());
      if (!has_all || all.size() >= least) continue;
      least = all.size();
      const auto owner = large_combing_.owner[static_cast<size_t>(block.primitive)].first;
      mapped = {static_cast<size_t>(owner), {0}};
    }
    return mapped;
  }

  /// Empty if the two members do not stand for the same channels.
  std::vector<int64_t> channels(const ChannelGroup& group, const Member& member,
                                const Member& owner, const std::string& name) const {
    const at::Tensor own = channel_ids(small_, small_combing_, member).contiguous();
    at::Tensor others = channel_ids(large_, large_combing_, owner);
    const auto how = cut_.find(name);
    if (how != cut_.end()) others = gather(others.contiguous(), how->second);
    others = others.contiguous();
    if (others.sizes() != own.sizes()) return {};
    std::vector<int64_t> result(group.blocks.size() * static_cast<size_t>(group.of), -1);
    const auto* from = own.const_data_ptr<int64_t>();
    const auto* to = others.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < own.numel(); ++i) {
      if (from[i] < 0) continue;
      int64_t& channel = result[static_cast<size_t>(from[i])];
      if (to[i] < 0 || (channel >= 0 && channel != to[i])) return {};
      channel = to[i];
    }
    return std::find(result.begin(), result.end(), -1) == result.end() ? result
                                                                       : std::vector<int64_t>{};
  }

  const Model& small_;
  const Combing& small_combing_;
  const Model& large_;
  const Combing& large_combing_;
  const std::map<std::string, Gather>& cut_;
  std::map<std::pair<std::string, int>, std::vector<std::pair<size_t, const Member*>>> owners_;
};

}  // namespace

std::vector<MappedGroup> map_channels(const Model& small, const Combing& small_combing,
                                      const Model& large, const Combing& large_combing,
                                      const std::map<std::string, Gather>& cut) {
  const Mapping mapping(small, small_combing, large, large_combing, cut);
  std::vector<MappedGroup> result;
  for (const auto& group : small_combing.groups) result.push_back(mapping.of(group));
  return result;
}

}  // namespace cpd
