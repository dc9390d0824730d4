#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/combing.h>
#include <cpd/model/model.h>

#include <vector>

namespace cpd {

/// What a keep leaves of every value, as boolean tensors: one for each hash-consed label array,
/// made when it is first cut and made anew only when it changes. A mask broadcasts against its
/// value: every extent is the value's own or 1.
class ChannelMasks {
 public:
  /// Everything is kept. `graph` and `combing` must outlive the masks.
  ChannelMasks(const Graph& graph, const Combing& combing);

  /// Takes what is kept from now on. Costs about the number of entries of all label arrays.
  void set_keep(const Keep& keep);

  /// True if something along the dimension is removed.
  bool cuts(ValueId value, int dim) const;
  bool cuts(ValueId value) const;
  /// True if nothing is removed anywhere.
  bool whole() const { return cut_arrays_ == 0; }
  /// Number kept along a dimension in a kept row, on the example inputs.
  int64_t kept(ValueId value, int dim) const;

  /// `tensor` (dense, standing for `value`) with `fill` at the positions that are removed along the
  /// given dimensions; `tensor` itself if nothing is. Differentiable. Batch sizes other than the
  /// example's are followed.
  at::Tensor masked(const at::Tensor& tensor, ValueId value, const std::vector<int>& dims,
                    double fill = 0.0) const;
  /// The same along all dimensions.
  at::Tensor masked(const at::Tensor& tensor, ValueId value, double fill = 0.0) const;
  /// Boolean mask over the given dimensions that broadcasts against `tensor`; undefined if nothing
  /// is removed along them.
  at::Tensor mask(const at::Tensor& tensor, ValueId value, const std::vector<int>& dims) const;

  /// The kept elements of a dense tensor that stands for `value`: rows before columns, each row its
  /// own. Differentiable.
  at::Tensor cut(const at::Tensor& dense, ValueId value) const;
  /// The reverse: full width, zero where removed. Differentiable.
  at::Tensor spread(const at::Tensor& compact, ValueId value) const;
  /// Shape of the compact tensor for a dense one of the given shape.
  Shape cut_shape(const Shape& dense, ValueId value) const;

 private:
  struct Entry {
    std::vector<uint8_t> kept;  ///< for each entry of the array
    at::Tensor mask;            ///< undefined while nothing is cut
    int64_t size = 0;           ///< kept along the array's dimension in a kept row
  };

  int array_of(ValueId value, int dim) const;
  std::vector<int> all_dims(ValueId value) const;
  void update(Entry& entry, const FormArray& array, const std::vector<uint8_t>& forms);
  /// Dimensions that the mask of a cut dimension varies along besides itself.
  std::vector<int> rows_of(ValueId value, int dim) const;
  /// Cut dimensions and their rows, each after the ones that it varies along.
  std::vector<int> rows_first(ValueId value) const;
  Shape dense_shape(const Shape& compact, ValueId value) const;
  struct Layout;
  Layout layout_of(const Shape& dense, ValueId value, c10::Device device) const;

  const Graph* graph_;
  const Combing* combing_;
  std::vector<Entry> entries_;  ///< for each array of the combing
  int64_t cut_arrays_ = 0;
};

}  // namespace cpd
