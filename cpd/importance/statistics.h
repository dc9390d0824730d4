#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/importance/importance.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace cpd {

/// Samples to be run through a network: one tensor for each of its inputs, and their classes.
struct CalibrationBatch {
  std::vector<at::Tensor> inputs;
  at::Tensor labels{};  ///< (N) int64; undefined: labels are drawn from the network's own output
};
using CalibrationData = std::vector<CalibrationBatch>;

/// The loss of a batch, summed over its samples, from the network's outputs.
using CalibrationLoss =
    std::function<at::Tensor(const std::vector<at::Tensor>& outputs, const at::Tensor& labels)>;

/// What data shows about the channels of one unit, where its readers read them. g is the derivative
/// of a sample's loss with respect to a gate of 1 in front of all readers of the channel.
struct UnitStatistics {
  Scores gate;         ///< sum over samples of g
  Scores gate_abs;     ///< sum of |g|
  Scores gate_square;  ///< sum of g squared
  Scores mean;         ///< of the values that are read
  Scores variance;     ///< of the values that are read, over samples and positions
  Scores zeros;        ///< fraction of values that are zero
};

/// What a convolution or linear layer reads, as the rows that it multiplies its weight with, and
/// how the loss depends on what it gives: the two factors of its curvature (K-FAC; Martens and
/// Grosse, ICML 2015; Grosse and Martens, ICML 2016).
struct LayerStatistics {
  at::Tensor inputs;  ///< mean of x x': (groups, columns, columns); (groups, columns) if wide
  at::Tensor means;   ///< mean of x: (groups, columns)
  /// d d' of the gradients of a sample's loss, summed over positions, mean over samples: (groups,
  /// outputs, outputs); (groups, outputs) if wide.
  at::Tensor gradients;
};
/// Of layers with more columns only the diagonal is kept.
constexpr int64_t kMostGramColumns = 8192;

struct Statistics {
  int64_t samples = 0;
  std::map<std::string, UnitStatistics> units;  ///< of units that something reads, by name
  std::map<OpId, LayerStatistics> layers;       ///< of layers that read units, if asked for
  /// Of the summed loss by each parameter that writes units, if asked for.
  std::map<ValueId, at::Tensor> gradients;
  std::map<ValueId, at::Tensor> hessian_diagonals;
};

struct StatisticsOptions {
  /// Null: cross entropy with the labels, or with labels drawn from the first output.
  CalibrationLoss loss = nullptr;
  uint64_t seed = 0;         ///< of drawn labels and rows
  bool draw_labels = false;  ///< even where the data has labels
  bool layers = false;       ///< gather `Statistics::layers` too
  int64_t rows = 60000;      ///< of each layer at most, of wide ones fewer, drawn at random
  bool gradients = false;    ///< gather `Statistics::gradients` too
  int hessian_probes = 0;    ///< gather `Statistics::hessian_diagonals` from so many products
};
/// What a score needs to be gathered.
StatisticsOptions statistics_for(Needs needs);

/// Runs data through the network in evaluation mode, with one backward pass for each batch. Nothing
/// of the network changes, no parameter gets a gradient. The result does not depend on how the
/// samples are split into batches. Throws cpd::Error for empty data, values that are not finite, or
/// labels that the network has no output for.
Statistics gather_statistics(const Model& model, const Combing& combing,
                             const CalibrationData& data, const StatisticsOptions& options = {});

/// Sum over samples of |g|. Molchanov et al., Importance Estimation for Neural Network Pruning,
/// CVPR 2019.
Scores score_taylor(const ChannelGroup& unit, const ScoreContext& context);
/// Sum over samples of g squared, the empirical Fisher information of the gate: g is summed over
/// the whole group before it is squared. Liu et al., Group Fisher Pruning, ICML 2021.
Scores score_fisher(const ChannelGroup& unit, const ScoreContext& context);
/// Minus the sum of g over the samples of a training: grows while the weights of a channel move
/// away from zero, and falls while they move toward it. Sanh, Wolf and Rush, Movement Pruning,
/// NeurIPS 2020, with the weights of a channel as one block.
Scores score_movement(const ChannelGroup& unit, const ScoreContext& context);
/// Mean size of the values that are read: |mean|.
Scores score_activation(const ChannelGroup& unit, const ScoreContext& context);
/// Variance of the values that are read. Variance-Based Pruning (Berisha et al., ICCV 2025) where a
/// compensation by bias or more follows.
Scores score_variance(const ChannelGroup& unit, const ScoreContext& context);
/// Variance of the values that are read, times the squared norm of the weights that read them: what
/// their fluctuation adds to the readers' outputs. An et al., FLAP, AAAI 2024.
Scores score_flap(const ChannelGroup& unit, const ScoreContext& context);
/// Fraction of the values that are not zero. Hu et al., Network Trimming, 2016.
Scores score_apoz(const ChannelGroup& unit, const ScoreContext& context);

}  // namespace cpd
