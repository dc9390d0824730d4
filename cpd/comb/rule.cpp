#include <cpd/comb/rule.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace cpd {
namespace {

/// An array of a value of lower rank, brought to `rank` with leading extents of 1.
LabelArray right_aligned(const LabelArray& array, int rank) {
  LabelArray result = array;
  if (!array.none()) {
    result.extents.insert(result.extents.begin(), static_cast<size_t>(rank) - array.extents.size(),
                          1);
  }
  return result;
}

bool has_labels(const Labels& labels) {
  return std::any_of(labels.dims.begin(), labels.dims.end(),
                     [](const LabelArray& array) { return !array.none(); });
}

/// Merges and splits that lead from one shape without ones to another: groups of equal size.
struct ReshapeGroup {
  int from = 0, from_count = 0, to = 0, to_count = 0;
};

std::vector<ReshapeGroup> minimal_groups(const Shape& from, const Shape& to) {
  std::vector<ReshapeGroup> groups;
  size_t i = 0, j = 0;
  while (i < from.size() || j < to.size()) {
    ReshapeGroup group{static_cast<int>(i), 1, static_cast<int>(j), 1};
    if (i >= from.size() || j >= to.size()) throw Error("a reshape changes the number of elements");
    int64_t left = from[i++], right = to[j++];
    while (left != right) {
      if (left < right) {
        if (i >= from.size()) throw Error("a reshape changes the number of elements");
        left *= from[i++];
        ++group.from_count;
      } else {
        if (j >= to.size()) throw Error("a reshape changes the number of elements");
        right *= to[j++];
        ++group.to_count;
      }
    }
    groups.push_back(group);
  }
  return groups;
}

Labels without_ones(Labels labels) {
  for (int d = labels.rank(); d-- > 0;) {
    if (labels.shape[static_cast<size_t>(d)] == 1) labels = squeezed(labels, d);
  }
  return labels;
}

Shape without_ones(const Shape& shape) {
  Shape result;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(result),
               [](int64_t size) { return size != 1; });
  return result;
}

Labels with_ones(Labels labels, const Shape& shape) {
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) labels = unsqueezed(labels, static_cast<int>(d));
  }
  return labels;
}

}  // namespace

const char* name_of(Role role) {
  switch (role) {
    case Role::kWriter:
      return "writer";
    case Role::kReader:
      return "reader";
    case Role::kAlong:
      return "along";
  }
  return "";
}

int RuleContext::dim_of(ValueId value, int64_t dim) const {
  const auto rank = static_cast<int64_t>(shape(value).size());
  return static_cast<int>(dim < 0 ? dim + rank : dim);
}

void RuleContext::lock(ValueId value, int dim, const std::string& reason) {
  lock(labels(value).dims[static_cast<size_t>(dim)], reason);
}

void RuleContext::lock_all(ValueId value, const std::string& reason) {
  for (const auto& array : labels(value).dims) lock(array, reason);
}

Labels RuleContext::align_others(Labels labels, int dim) {
  for (int d = 0; d < labels.rank(); ++d) {
    auto& array = labels.dims[static_cast<size_t>(d)];
    if (d != dim && array.varies(dim)) array = align(array, dim);
  }
  return labels;
}

Labels RuleContext::reshape(const Labels& labels, const Shape& shape) {
  if (!has_labels(labels) || labels.shape == shape) {
    return labels.shape == shape ? labels : unlabelled(shape);
  }
  Labels work = without_ones(labels);
  const Shape target = without_ones(shape);
  const auto groups = minimal_groups(work.shape, target);
  for (size_t g = groups.size(); g-- > 0;) {  // from the back, so that positions in front stay
    const auto& group = groups[g];
    if (group.from_count == 1 && group.to_count == 1) continue;
    for (int i = 1; i < group.from_count; ++i) work = merge(work, group.from);
    for (int i = 0; i + 1 < group.to_count; ++i) {
      const int64_t rows = target[static_cast<size_t>(group.to + i)];
      const int dim = group.from + i;
      work = split(work, dim, rows, work.shape[static_cast<size_t>(dim)] / rows);
    }
  }
  return with_ones(work, shape);
}

Labels RuleContext::concatenate(const std::vector<Labels>& parts, int dim) {
  Labels result = parts.front();
  const int rank = result.rank();
  const auto d = static_cast<size_t>(dim);
  result.shape[d] = 0;
  for (const auto& part : parts) result.shape[d] += part.shape[d];
  const bool stacked = std::all_of(parts.begin(), parts.end(),
                                   [&](const Labels& part) { return part.shape[d] == 1; });
  for (int i = 0; i < rank; ++i) {
    const auto at = static_cast<size_t>(i);
    const bool any = std::any_of(parts.begin(), parts.end(),
                                 [&](const Labels& part) { return !part.dims[at].none(); });
    if (!any) {
      result.dims[at] = {};
      continue;
    }
    if (i != dim && !stacked) {
      for (size_t p = 1; p < parts.size(); ++p) {
        // Along the concatenated dimension the parts have positions of their own.
        LabelArray first = parts[0].dims[at], other = parts[p].dims[at];
        if (first.varies(dim)) first = align(first, dim);
        if (other.varies(dim)) other = align(other, dim);
        unify(first, other);
      }
      result.dims[at] =
          parts[0].dims[at].varies(dim) ? taken(parts[0].dims[at], dim, {0}) : parts[0].dims[at];
      continue;
    }
    std::vector<LabelArray> arrays;
    for (const auto& part : parts) {
      LabelArray array = explicit_along(part.dims[at], rank, i, part.shape[at]);
      arrays.push_back(widened(array, dim, part.shape[d]));
    }
    result.dims[at] = concatenated(arrays, dim);
  }
  return result;
}

Labels RuleContext::meet(const std::vector<Labels>& operands, const Shape& result) {
  const int rank = static_cast<int>(result.size());
  Labels met = unlabelled(result);
  for (int d = 0; d < rank; ++d) {
    const LabelArray* first = nullptr;
    LabelArray kept;
    for (const auto& operand : operands) {
      const int own = d - (rank - operand.rank());
      if (own < 0 || operand.shape[static_cast<size_t>(own)] == 1) continue;
      const LabelArray array = right_aligned(operand.dims[static_cast<size_t>(own)], rank);
      if (first == nullptr) {
        kept = array;
        first = &kept;
      } else {
        unify(kept, array);
        if (kept.none()) kept = array;
      }
    }
    met.dims[static_cast<size_t>(d)] = kept;
  }
  return met;
}

Labels RuleContext::elementwise(const std::vector<ValueId>& operands, const Shape& result) {
  std::vector<Labels> all;
  for (ValueId value : operands) {
    all.push_back(labels(value));
    for (int d = 0; d < all.back().rank(); ++d) role(value, d, Role::kAlong);
  }
  return meet(all, result);
}

namespace {

/// All names of a contraction and where each operand has them.
struct NamedSpace {
  std::vector<std::string> names;

  explicit NamedSpace(const std::vector<Operand>& operands) {
    std::set<std::string> seen;
    for (const auto& operand : operands) {
      for (const auto& name : operand.names) {
        if (!name.empty() && seen.insert(name).second) names.push_back(name);
      }
    }
  }

  int index(const std::string& name) const {
    const auto found = std::find(names.begin(), names.end(), name);
    return found == names.end() ? -1 : static_cast<int>(found - names.begin());
  }

  /// An operand's array with one axis for each name; unnamed axes must not vary.
  LabelArray lifted(const Operand& operand, const LabelArray& array) const {
    if (array.none()) return {};
    LabelArray result{Shape(names.size(), 1), {}};
    std::vector<int> order;
    for (const auto& name : names) {
      const auto found = std::find(operand.names.begin(), operand.names.end(), name);
      if (found == operand.names.end()) continue;
      const auto at = static_cast<size_t>(found - operand.names.begin());
      order.push_back(static_cast<int>(at));
      result.extents[static_cast<size_t>(index(name))] = array.extents[at];
    }
    LabelArray bare = array;
    for (size_t i = 0; i < operand.names.size(); ++i) {
      if (operand.names[i].empty()) order.push_back(static_cast<int>(i));
    }
    result.entries = permuted(bare, order).entries;
    return result;
  }

  /// From the named space to the order of the result; axes that are not in it must not vary.
  LabelArray lowered(const LabelArray& array, const std::vector<std::string>& result) const {
    if (array.none()) return {};
    std::vector<int> order;
    for (const auto& name : result) {
      if (index(name) >= 0) order.push_back(index(name));
    }
    for (size_t i = 0; i < names.size(); ++i) {
      if (std::find(result.begin(), result.end(), names[i]) == result.end()) {
        order.push_back(static_cast<int>(i));
      }
    }
    LabelArray lowered{{}, permuted(array, order).entries};
    for (const auto& name : result) {
      lowered.extents.push_back(index(name) < 0 ? 1
                                                : array.extents[static_cast<size_t>(index(name))]);
    }
    return lowered;
  }
};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Labels RuleContext::contract(std::vector<Operand> operands, const std::vector<std::string>& result,
                             const Shape& shape) {
  const NamedSpace space(operands);
  for (auto& operand : operands) {
    for (int d = 0; d < operand.labels.rank(); ++d) {
      const auto& name = operand.names[static_cast<size_t>(d)];
      if (name.empty() || !contains(result, name)) operand.labels = align_others(operand.labels, d);
    }
  }
  std::vector<LabelArray> arrays(space.names.size());
  std::vector<int> holders;  // operands that have each name
  for (size_t n = 0; n < space.names.size(); ++n) {
    const auto& name = space.names[n];
    bool first = true, weighted = false;
    for (auto& operand : operands) {
      for (size_t d = 0; d < operand.names.size(); ++d) {
        if (operand.names[d] != name || operand.labels.shape[d] == 1) continue;
        const LabelArray array = space.lifted(operand, operand.labels.dims[d]);
        weighted = weighted || operand.parameter >= 0;
        if (!first) unify(arrays[n], array);
        if (first || arrays[n].none()) arrays[n] = array;
        first = false;
      }
    }
    if (!contains(result, name) && !weighted) mark(arrays[n], Level::kOperand);
    holders.push_back(static_cast<int>(
        std::count_if(operands.begin(), operands.end(),
                      [&](const Operand& operand) { return contains(operand.names, name); })));
  }
  const bool activations =
      std::all_of(operands.begin(), operands.end(),
                  [](const Operand& operand) { return operand.parameter < 0; });
  for (size_t n = 0; activations && n < space.names.size(); ++n) {
    const bool kept = contains(result, space.names[n]);
    tag(arrays[n], !kept ? "qk" : holders[n] > 1 ? "heads" : "v");
  }
  for (const auto& operand : operands) {
    if (operand.parameter < 0) continue;
    if (operand.names.size() != this->shape(operand.parameter).size()) continue;
    for (size_t d = 0; d < operand.names.size(); ++d) {
      const auto& name = operand.names[d];
      if (name.empty()) continue;
      role(operand.parameter, static_cast<int>(d),
           contains(result, name) ? Role::kWriter : Role::kReader);
    }
  }
  Labels out = unlabelled(shape);
  for (size_t d = 0; d < result.size(); ++d) {
    const int n = space.index(result[d]);
    if (n < 0 || shape[d] == 1) continue;
    LabelArray array = arrays[static_cast<size_t>(n)];
    for (size_t m = 0; m < space.names.size(); ++m) {
      // Unions after the operand's alignment may have left a spread along a summed name.
      if (!contains(result, space.names[m]) && array.varies(static_cast<int>(m))) {
        array = align(array, static_cast<int>(m));
      }
    }
    out.dims[d] = space.lowered(array, result);
  }
  return out;
}

const Rule* Rules::find(const std::string& kind) const {
  const auto found = rules_.find(kind);
  return found == rules_.end() ? nullptr : &found->second;
}

std::vector<std::string> Rules::kinds() const {
  std::vector<std::string> kinds;
  for (const auto& [kind, rule] : rules_) kinds.push_back(kind);
  return kinds;
}

bool RewriteContext::shrinks(ValueId value, int dim) const {
  return size(value, dim) != dense().value(value).shape[static_cast<size_t>(dim)];
}

Expr RewriteContext::owned(const Expr& dense_size, ValueId value, int dim) const {
  const int64_t whole = dense().value(value).shape[static_cast<size_t>(dim)];
  const int64_t kept = size(value, dim);
  if (kept == whole) return dense_size;
  if (dense_size.is_constant()) return Expr::constant(kept);
  const int64_t divisor = std::gcd(kept, whole);
  return Expr::call("floordiv", {Expr::call("mul", {dense_size, Expr::constant(kept / divisor)}),
                                 Expr::constant(whole / divisor)});
}

void RewriteContext::replace_by_index_select(ValueId input, int dim,
                                             const std::vector<int64_t>& positions) {
  Op replacement;
  replacement.kind = "aten::index_select";
  replacement.outputs = dense_op().outputs;
  replacement.where = dense_op().where;
  replacement.scope = dense_op().scope;
  replacement.args = {{"self", ValueRef{input}},
                      {"dim", Expr::constant(int64_t{dim})},
                      {"index", ValueRef{index_constant(positions)}}};
  op() = std::move(replacement);
}

}  // namespace cpd
