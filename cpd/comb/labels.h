#pragma once

#include <cpd/graph/graph.h>

#include <cstdint>
#include <vector>

namespace cpd {

/// The name of a decision "keep or remove". 0 = always kept.
using Label = int32_t;

/// The labels of one dimension of a value: an integer array of the value's rank, every extent the
/// value's own or 1 (does not vary there). `none()`: the dimension cannot shrink.
struct LabelArray {
  Shape extents;               ///< empty = none
  std::vector<Label> entries;  ///< row-major

  bool none() const { return extents.empty(); }
  /// True if it varies along `dim`.
  bool varies(int dim) const { return !none() && extents[static_cast<size_t>(dim)] > 1; }
  bool operator==(const LabelArray&) const = default;
};

/// A value's shape and one array for each of its dimensions.
struct Labels {
  Shape shape;
  std::vector<LabelArray> dims;  ///< as many as the shape has dimensions

  int rank() const { return static_cast<int>(shape.size()); }
};

/// No label anywhere.
Labels unlabelled(const Shape& shape);

/// Repeats an array along `dim` to `extent` where it does not vary there; none stays none.
LabelArray widened(const LabelArray& array, int dim, int64_t extent);
/// None becomes an array of zeros along `dim`; an array that is constant along it is widened.
LabelArray explicit_along(const LabelArray& array, int rank, int dim, int64_t extent);

/// Layout of whole values; all arrays move along. Dimensions count from 0, no negative ones.
Labels permuted(const Labels& labels, const std::vector<int>& order);
/// Positions along `dim`, in the order given; repeats allowed.
Labels taken(const Labels& labels, int dim, const std::vector<int64_t>& positions);
/// Inserts or drops a dimension of size 1.
Labels unsqueezed(const Labels& labels, int dim);
Labels squeezed(const Labels& labels, int dim);
/// The same for one array of a value of the given rank.
LabelArray permuted(const LabelArray& array, const std::vector<int>& order);
LabelArray taken(const LabelArray& array, int dim, const std::vector<int64_t>& positions);
LabelArray unsqueezed(const LabelArray& array, int dim);
LabelArray squeezed(const LabelArray& array, int dim);
/// Arrays one after the other along `dim`; all must vary along it or have extent 1 in the value;
/// the other extents are widened to the largest. None of them may be none.
LabelArray concatenated(const std::vector<LabelArray>& arrays, int dim);

}  // namespace cpd
