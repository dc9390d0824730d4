#pragma once

#include <cpd/comb/combing.h>

#include <vector>

namespace cpd {

/// The size of a labelled dimension as a polynomial in the widths of groups: channels that go
/// together count alike, whichever of them are kept.
class KeptSize {
 public:
  /// Of one label array. Exact if all channels of a block stand in it equally often, as combing
  /// makes them; `CostsByWidth` checks that on its own.
  KeptSize(const Combing& combing, const FormArray& array);

  int64_t at(const std::vector<int64_t>& widths) const;
  /// Groups on whose widths it depends, ascending.
  const std::vector<int32_t>& groups() const { return groups_; }

 private:
  /// `count` positions of which the share k/of of each group is kept.
  struct Term {
    int64_t count = 0;
    std::vector<int32_t> groups;
    int64_t of = 1;  ///< product over the groups
  };

  std::vector<Term> terms_;
  std::vector<int32_t> groups_;
};

}  // namespace cpd
