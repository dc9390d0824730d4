#include <cpd/cost/kept_size.h>

#include <algorithm>
#include <map>

namespace cpd {
namespace {

/// The forms of the first row along the array's own dimension.
std::vector<int32_t> first_row(const FormArray& array) {
  int64_t inner = 1;
  for (size_t d = static_cast<size_t>(array.dim) + 1; d < array.extents.size(); ++d) {
    inner *= array.extents[d];
  }
  std::vector<int32_t> row;
  for (int64_t k = 0; k < array.extents[static_cast<size_t>(array.dim)]; ++k) {
    row.push_back(array.entries[static_cast<size_t>(k * inner)]);
  }
  return row;
}

/// Primitives that every form of a row has: whether the row itself is kept.
std::vector<Primitive> shared_primitives(const Combing& combing, const std::vector<int32_t>& row) {
  std::vector<Primitive> shared = combing.forms[static_cast<size_t>(row.front())];
  for (int32_t form : row) {
    const auto& other = combing.forms[static_cast<size_t>(form)];
    std::vector<Primitive> both;
    std::set_intersection(shared.begin(), shared.end(), other.begin(), other.end(),
                          std::back_inserter(both));
    shared = std::move(both);
  }
  return shared;
}

}  // namespace

KeptSize::KeptSize(const Combing& combing, const FormArray& array) {
  const auto row = first_row(array);
  if (row.empty()) return;
  const auto shared = shared_primitives(combing, row);
  std::map<std::vector<int32_t>, int64_t> counts;
  for (int32_t form : row) {
    std::vector<int32_t> groups;
    for (Primitive primitive : combing.forms[static_cast<size_t>(form)]) {
      const int32_t group = combing.owner[static_cast<size_t>(primitive)].first;
      const bool row_itself = std::binary_search(shared.begin(), shared.end(), primitive);
      if (group >= 0 && !row_itself) groups.push_back(group);
    }
    std::sort(groups.begin(), groups.end());
    ++counts[groups];
  }
  for (const auto& [groups, count] : counts) {
    Term term{count, groups, 1};
    for (int32_t group : groups) term.of *= combing.groups[static_cast<size_t>(group)].of;
    terms_.push_back(term);
    groups_.insert(groups_.end(), groups.begin(), groups.end());
  }
  std::sort(groups_.begin(), groups_.end());
  groups_.erase(std::unique(groups_.begin(), groups_.end()), groups_.end());
}

int64_t KeptSize::at(const std::vector<int64_t>& widths) const {
  int64_t size = 0;
  for (const Term& term : terms_) {
    int64_t kept = term.count;
    for (int32_t group : term.groups) kept *= widths[static_cast<size_t>(group)];
    size += kept / term.of;
  }
  return size;
}

}  // namespace cpd
