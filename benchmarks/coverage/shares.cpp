#include "shares.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/mutators/prunable_share.h>

#include <set>

namespace cpd::coverage {
namespace {

/// Forms of which some primitive belongs to a mutable unit.
std::vector<uint8_t> removable_forms(const ChannelMutator& mutator) {
  const Combing& combing = mutator.combing();
  std::vector<uint8_t> removable;
  for (const auto& form : combing.forms) {
    bool can_go = false;
    for (Primitive primitive : form) {
      const int32_t group = combing.owner[static_cast<size_t>(primitive)].first;
      can_go = can_go || (group >= 0 && mutator.units()[static_cast<size_t>(group)]->is_mutable());
    }
    removable.push_back(can_go);
  }
  return removable;
}

/// The elements of a parameter that can be removed, as a mask.
at::Tensor removable_mask(const Combing& combing, const std::vector<uint8_t>& forms,
                          const Parameter& entry) {
  at::Tensor mask = at::zeros(entry.tensor.sizes(), at::kBool);
  for (int id : combing.dims[static_cast<size_t>(entry.value)]) {
    if (id < 0) continue;
    const FormArray& array = combing.arrays[static_cast<size_t>(id)];
    std::vector<int64_t> can_go;
    for (int32_t form : array.entries) can_go.push_back(forms[static_cast<size_t>(form)]);
    mask = mask.logical_or(at::tensor(at::ArrayRef<int64_t>(can_go), at::kLong)
                               .to(at::kBool)
                               .view(array.extents)
                               .expand(entry.tensor.sizes()));
  }
  return mask;
}

/// Why elements of a parameter stay: all reasons of its dimensions.
std::string reason_of(const ChannelMutator& mutator, ValueId value) {
  std::set<std::string> reasons;
  const Combing& combing = mutator.combing();
  for (const auto& locked : combing.locked) {
    if (locked.parameter != value) continue;
    const std::string where = locked.where.text();
    reasons.insert(locked.reason + (where.empty() ? "" : " (" + where + ")"));
  }
  for (const auto& group : combing.groups) {
    if (group.offered) continue;
    for (const auto& member : group.members) {
      if (member.parameter == value) reasons.insert(group.reason);
    }
  }
  std::string text;
  for (const auto& reason : reasons) text += (text.empty() ? "" : "; ") + reason;
  return text.empty() ? "no unit has it" : text;
}

}  // namespace

Shares shares_of(const ChannelMutator& mutator) {
  const auto forms = removable_forms(mutator);
  Shares shares;
  int64_t prunable = 0, removable = 0;
  for (const auto& entry : mutator.dense().parameters) {
    if (entry.value < 0 || entry.role != ParameterRole::kParameter) continue;
    const int64_t elements = entry.tensor.numel();
    const int64_t can_go = removable_mask(mutator.combing(), forms, entry).sum().item().toLong();
    shares.parameters += elements;
    removable += can_go;
    if (can_go > 0) prunable += elements;
    if (can_go == elements) continue;
    Json& stays = shares.stays[reason_of(mutator, entry.value)];
    if (stays.is_null()) stays = {{"elements", 0}, {"first", entry.name}};
    stays["elements"] = stays["elements"].get<int64_t>() + elements - can_go;
  }
  const auto all = static_cast<double>(std::max<int64_t>(1, shares.parameters));
  shares.prunable = static_cast<double>(prunable) / all;
  shares.removable = static_cast<double>(removable) / all;
  shares.macs = prunable_share(mutator).macs;
  return shares;
}

}  // namespace cpd::coverage
