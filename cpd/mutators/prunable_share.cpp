#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/mutators/prunable_share.h>

#include <algorithm>

namespace cpd {
namespace {

/// For each form of the combing: can one of its primitives go?
std::vector<int64_t> removable_forms(const ChannelMutator& mutator) {
  const Combing& combing = mutator.combing();
  std::vector<int64_t> removable;
  for (const auto& form : combing.forms) {
    removable.push_back(std::any_of(form.begin(), form.end(), [&](Primitive primitive) {
      const int32_t group = combing.owner[static_cast<size_t>(primitive)].first;
      return group >= 0 && mutator.units()[static_cast<size_t>(group)]->is_mutable();
    }));
  }
  return removable;
}

/// How many elements of a parameter can go.
int64_t removable_elements(const Combing& combing, const std::vector<int64_t>& forms,
                           const Parameter& entry) {
  at::Tensor mask = at::zeros(entry.tensor.sizes(), at::kBool);
  for (int id : combing.dims[static_cast<size_t>(entry.value)]) {
    if (id < 0) continue;
    const FormArray& array = combing.arrays[static_cast<size_t>(id)];
    std::vector<int64_t> entries;
    for (int32_t form : array.entries) entries.push_back(forms[static_cast<size_t>(form)]);
    mask = mask.logical_or(at::tensor(at::ArrayRef<int64_t>(entries), at::kLong)
                               .to(at::kBool)
                               .view(array.extents)
                               .expand(entry.tensor.sizes()));
  }
  return mask.sum().item().toLong();
}

double share_of_parameters(const ChannelMutator& mutator) {
  const auto forms = removable_forms(mutator);
  int64_t all = 0, removable = 0;
  for (const auto& entry : mutator.dense().parameters) {
    if (entry.role != ParameterRole::kParameter) continue;
    all += entry.tensor.numel();
    if (entry.value >= 0) removable += removable_elements(mutator.combing(), forms, entry);
  }
  return all == 0 ? 0 : static_cast<double>(removable) / static_cast<double>(all);
}

double share_of_macs(const ChannelMutator& mutator) {
  const Combing& combing = mutator.combing();
  Keep smallest(combing);
  for (const auto* unit : mutator.mutable_units()) {
    for (const auto& block : unit->group().blocks) {
      for (size_t i = 1; i < block.size(); ++i) smallest.set(block[i], false);
    }
  }
  const auto dense = mutator.costs().by_op(Keep(combing));
  const auto small = mutator.costs().by_op(smallest);
  int64_t all = 0, shrinking = 0;
  for (size_t i = 0; i < dense.size(); ++i) {
    all += dense[i].macs;
    if (small[i].macs < dense[i].macs) shrinking += dense[i].macs;
  }
  return all == 0 ? 0 : static_cast<double>(shrinking) / static_cast<double>(all);
}

}  // namespace

PrunableShare prunable_share(const ChannelMutator& mutator) {
  return {share_of_parameters(mutator), share_of_macs(mutator)};
}

}  // namespace cpd
