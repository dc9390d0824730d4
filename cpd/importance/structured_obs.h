#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace cpd {

/// What the loss grows by when whole channels go and the weights that stay are set as well as they
/// can be: Optimal Brain Surgeon for channels (Hassibi and Stork, NIPS 1992; Wang et al.,
/// EigenDamage, ICML 2019; Kurtic et al., ZipLM, NeurIPS 2023).
///
/// Of each layer that reads the channels, with weights W (outputs, columns) and second moments A of
/// its inputs, the loss is tr(D A D') for a change D of W, damping included. Removing the columns S
/// costs tr(W_S ([A^-1]_SS)^-1 W_S'); afterwards W and A^-1 are those of what is left. All in
/// double precision.
class StructuredObs {
 public:
  explicit StructuredObs(int64_t channels) : left_(static_cast<size_t>(channels), true) {}
  StructuredObs(StructuredObs&&) = default;
  StructuredObs& operator=(StructuredObs&&) = default;

  /// `moments`: (columns, columns), or its diagonal (columns), which knows nothing of redundancy.
  /// `damping` is added to the diagonal, relative to its mean. `channel_of`: for each column a
  /// channel, or -1.
  void add_layer(const at::Tensor& weight, const at::Tensor& moments, double damping,
                 const std::vector<int64_t>& channel_of);

  /// What removing each channel alone would cost; infinity for those that are gone.
  std::vector<double> losses() const;
  /// Removes channels together; returns what that costs.
  double remove(const std::vector<int64_t>& channels);

  /// The weights of a layer as they are now: columns that are gone are zero.
  at::Tensor weight(size_t layer) const;

 private:
  struct Layer {
    at::Tensor weight;                          ///< (columns, outputs)
    at::Tensor inverse;                         ///< (columns, columns), or (columns) of a diagonal
    std::vector<std::vector<int64_t>> columns;  ///< of each channel that is left
    std::vector<int64_t> original;  ///< the column's place in the weight given; -1: gone
    int64_t width = 0;              ///< of the weight given
    int64_t gone = 0;               ///< columns that are gone but still there, as zeros
  };

  static double remove(Layer& layer, const std::vector<int64_t>& channels);
  static void cut(Layer& layer);

  std::vector<bool> left_;
  std::vector<Layer> layers_;
};

/// tr(W_c A_cc W_c') of each channel: what its removal costs in one layer if nothing makes up for
/// it.
std::vector<double> losses_without_refit(const at::Tensor& weight, const at::Tensor& moments,
                                         const std::vector<int64_t>& channel_of, int64_t channels);

/// A channel and what its removal costs after those before it.
struct Removal {
  int64_t channel = 0;
  double loss = 0;
};
/// Removes all channels, always the cheapest next. Of many channels several go at a time (one in
/// `kChannelsPerStep` of those left), jointly.
std::vector<Removal> remove_greedily(StructuredObs obs);
constexpr int64_t kChannelsPerStep = 64;

}  // namespace cpd
