#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/model/model.h>

#include <optional>
#include <vector>

namespace cpd {

/// The tensor, in single precision if it is in half: for sums.
at::Tensor at_least_single(const at::Tensor& tensor);

/// A convolution or linear layer as the matrix product that it is: output = weight * inputs + bias,
/// with one row of inputs (an unfolded patch) for each position of the output.
class LayerRows {
 public:
  /// Nothing for other ops, transposed convolutions and layers that do not multiply with a
  /// parameter or buffer as it stands.
  static std::optional<LayerRows> of(const Graph& graph, OpId op);

  OpId op() const { return op_; }
  ValueId input() const { return input_; }
  ValueId weight() const { return weight_; }
  ValueId bias() const { return bias_; }  ///< -1: none
  ValueId output() const { return output_; }
  int64_t groups() const { return groups_; }

  /// Number of rows behind an output.
  int64_t rows(const at::Tensor& output) const;
  /// Rows of the output at flat positions `index`: (groups, rows, outputs of a group). Rows of
  /// half-precision tensors come in single precision.
  at::Tensor outputs(const at::Tensor& output, const at::Tensor& index) const;
  /// Rows of the inputs at the same positions: (groups, rows, columns). `output` only gives sizes.
  at::Tensor inputs(const at::Tensor& input, const at::Tensor& output,
                    const at::Tensor& index) const;
  /// The weight as (groups, outputs of a group, columns), and back to its own shape.
  at::Tensor matrix(const at::Tensor& weight) const;

 private:
  at::Tensor patches(const at::Tensor& input, const at::Tensor& output,
                     const at::Tensor& index) const;

  OpId op_ = -1;
  ValueId input_ = -1, weight_ = -1, bias_ = -1, output_ = -1;
  int64_t groups_ = 1;
  size_t spatial_ = 0;  ///< dimensions of a kernel; 0: a linear layer
  std::vector<int64_t> stride_, padding_, dilation_, kernel_;
};

/// Where a constant that is added to a layer's output can go: the bias, or the running mean of a
/// batch norm that is all that reads the output.
struct ConstantPlace {
  ValueId bias = -1;
  ValueId running_mean = -1;
  bool none() const { return bias < 0 && running_mean < 0; }
};
/// Only tensors that no other op reads count. `users` are those of the graph.
ConstantPlace constant_place(const Graph& graph, const std::vector<std::vector<OpId>>& users,
                             const LayerRows& layer);

/// Which of a layer's rows to look at: `per_sample` of each sample's rows, spread over them at
/// random, or all if there are no more. Depends on the seed and the numbers of the samples
/// (`first_sample`, ...) alone, not on how samples are split into batches. Flat positions,
/// ascending.
at::Tensor drawn_rows(int64_t rows, int64_t samples, int64_t first_sample, int64_t per_sample,
                      uint64_t seed);

/// How many rows of a layer are worth a look, of `most` in all: products of wide layers must not
/// cost much more than those of narrow ones, but some rows are needed for each column.
int64_t rows_worth(int64_t columns, int64_t most);

}  // namespace cpd
