#include <cpd/comb/labels.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace cpd {
namespace {

Shape strides_of(const Shape& extents) {
  Shape strides(extents.size(), 1);
  for (size_t i = extents.size(); i-- > 1;) strides[i - 1] = strides[i] * extents[i];
  return strides;
}

/// Builds an array of `extents` whose entry at each index is taken from `source` at the offset that
/// the per-dimension offset tables add up to.
LabelArray assembled(const LabelArray& source, const Shape& extents,
                     const std::vector<std::vector<int64_t>>& offsets) {
  std::vector<int64_t> at = {0};
  for (const auto& steps : offsets) {
    if (steps.size() == 1 && steps.front() == 0) continue;
    std::vector<int64_t> next;
    next.reserve(at.size() * steps.size());
    for (int64_t offset : at) {
      for (int64_t step : steps) next.push_back(offset + step);
    }
    at = std::move(next);
  }
  LabelArray result{extents, std::vector<Label>(at.size())};
  for (size_t i = 0; i < at.size(); ++i) {
    result.entries[i] = source.entries[static_cast<size_t>(at[i])];
  }
  return result;
}

std::vector<int64_t> steps(int64_t count, int64_t stride) {
  std::vector<int64_t> result(static_cast<size_t>(count));
  for (size_t i = 0; i < result.size(); ++i) result[i] = static_cast<int64_t>(i) * stride;
  return result;
}

std::vector<std::vector<int64_t>> identity_offsets(const Shape& extents) {
  const Shape strides = strides_of(extents);
  std::vector<std::vector<int64_t>> offsets;
  for (size_t i = 0; i < extents.size(); ++i) offsets.push_back(steps(extents[i], strides[i]));
  return offsets;
}

}  // namespace

Labels unlabelled(const Shape& shape) { return {shape, std::vector<LabelArray>(shape.size())}; }

LabelArray widened(const LabelArray& array, int dim, int64_t extent) {
  const auto d = static_cast<size_t>(dim);
  if (array.none() || array.extents[d] == extent) return array;
  if (array.extents[d] != 1) throw Error("a label array cannot be widened twice");
  auto offsets = identity_offsets(array.extents);
  offsets[d].assign(static_cast<size_t>(extent), 0);
  Shape extents = array.extents;
  extents[d] = extent;
  return assembled(array, extents, offsets);
}

LabelArray explicit_along(const LabelArray& array, int rank, int dim, int64_t extent) {
  if (!array.none()) return widened(array, dim, extent);
  LabelArray zeros{Shape(static_cast<size_t>(rank), 1), {}};
  zeros.extents[static_cast<size_t>(dim)] = extent;
  zeros.entries.assign(static_cast<size_t>(extent), 0);
  return zeros;
}

LabelArray permuted(const LabelArray& array, const std::vector<int>& order) {
  if (array.none()) return array;
  const Shape strides = strides_of(array.extents);
  Shape extents;
  std::vector<std::vector<int64_t>> offsets;
  for (int from : order) {
    const auto f = static_cast<size_t>(from);
    extents.push_back(array.extents[f]);
    offsets.push_back(steps(array.extents[f], strides[f]));
  }
  return assembled(array, extents, offsets);
}

Labels permuted(const Labels& labels, const std::vector<int>& order) {
  Labels result;
  for (int from : order) {
    result.shape.push_back(labels.shape[static_cast<size_t>(from)]);
    result.dims.push_back(permuted(labels.dims[static_cast<size_t>(from)], order));
  }
  return result;
}

LabelArray taken(const LabelArray& array, int dim, const std::vector<int64_t>& positions) {
  const auto d = static_cast<size_t>(dim);
  if (array.none() || array.extents[d] == 1) return array;
  const int64_t stride = strides_of(array.extents)[d];
  auto offsets = identity_offsets(array.extents);
  offsets[d].clear();
  for (int64_t position : positions) offsets[d].push_back(position * stride);
  Shape extents = array.extents;
  extents[d] = static_cast<int64_t>(positions.size());
  return assembled(array, extents, offsets);
}

Labels taken(const Labels& labels, int dim, const std::vector<int64_t>& positions) {
  Labels result = labels;
  result.shape[static_cast<size_t>(dim)] = static_cast<int64_t>(positions.size());
  for (auto& array : result.dims) array = taken(array, dim, positions);
  // One position left, or the same one repeated, does not make the dimension shrinkable by itself:
  // the array of `dim` keeps saying which label its positions have.
  return result;
}

LabelArray unsqueezed(const LabelArray& array, int dim) {
  LabelArray result = array;
  if (!array.none()) result.extents.insert(result.extents.begin() + dim, 1);
  return result;
}

Labels unsqueezed(const Labels& labels, int dim) {
  Labels result = labels;
  for (auto& array : result.dims) array = unsqueezed(array, dim);
  result.shape.insert(result.shape.begin() + dim, 1);
  result.dims.insert(result.dims.begin() + dim, LabelArray{});
  return result;
}

LabelArray squeezed(const LabelArray& array, int dim) {
  LabelArray result = array;
  if (!array.none()) result.extents.erase(result.extents.begin() + dim);
  return result;
}

Labels squeezed(const Labels& labels, int dim) {
  if (labels.shape[static_cast<size_t>(dim)] != 1) throw Error("only a size of 1 can be squeezed");
  Labels result = labels;
  result.shape.erase(result.shape.begin() + dim);
  result.dims.erase(result.dims.begin() + dim);
  for (auto& array : result.dims) array = squeezed(array, dim);
  return result;
}

LabelArray concatenated(const std::vector<LabelArray>& arrays, int dim) {
  const auto d = static_cast<size_t>(dim);
  Shape extents = arrays.front().extents;
  for (const auto& array : arrays) {
    for (size_t i = 0; i < extents.size(); ++i) {
      if (i != d) extents[i] = std::max(extents[i], array.extents[i]);
    }
  }
  std::vector<LabelArray> wide = arrays;
  extents[d] = 0;
  for (auto& array : wide) {
    for (size_t i = 0; i < extents.size(); ++i) {
      if (i != d) array = widened(array, static_cast<int>(i), extents[i]);
    }
    extents[d] += array.extents[d];
  }
  const int64_t outer =
      std::accumulate(extents.begin(), extents.begin() + dim, int64_t{1}, std::multiplies<>());
  LabelArray result{extents, {}};
  for (int64_t o = 0; o < outer; ++o) {
    for (const auto& array : wide) {
      const int64_t chunk = static_cast<int64_t>(array.entries.size()) / outer;
      const auto begin = array.entries.begin() + o * chunk;
      result.entries.insert(result.entries.end(), begin, begin + chunk);
    }
  }
  return result;
}

}  // namespace cpd
