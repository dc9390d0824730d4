#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/importance/gram_sum.h>
#include <cpd/importance/layer_rows.h>
#include <cpd/importance/statistics.h>

#include <cstdint>

namespace cpd {

/// Sums what one layer reads, and how the loss depends on what it gives, while data runs.
class LayerSums {
 public:
  /// `per_sample`: how many rows of a sample are looked at.
  LayerSums(const LayerRows& layer, int64_t per_sample, uint64_t seed)
      : layer_(layer), per_sample_(per_sample), seed_(seed) {}

  const LayerRows& layer() const { return layer_; }
  /// Takes a batch, whose samples have the numbers `first_sample`, ..., with what the layer reads
  /// and gives; takes the gradient of the loss too, once it flows back to `output`.
  void add(const at::Tensor& input, const at::Tensor& output, int64_t samples,
           int64_t first_sample);
  /// Ends the sums and hands them over.
  LayerStatistics take(int64_t samples);

 private:
  /// X' X of rows, or its diagonal where there are many columns.
  struct Moments {
    GramSum gram;
    at::Tensor diagonal;
    void add(const at::Tensor& rows);
    bool empty() const { return gram.empty() && !diagonal.defined(); }
    at::Tensor take(double count);  ///< and forgets them
  };

  void add_inputs(const at::Tensor& input, const at::Tensor& output, const at::Tensor& index);
  void add_gradients(const at::Tensor& gradient, const at::Tensor& index, double weight);

  LayerRows layer_;
  int64_t per_sample_;
  uint64_t seed_;
  int64_t rows_ = 0;
  Moments inputs_, gradients_;
  at::Tensor means_;
};

}  // namespace cpd
