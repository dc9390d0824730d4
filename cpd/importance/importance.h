#pragma once

#include <cpd/comb/combing.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// One score for each channel of each block of a unit; higher is more important.
using Scores = std::vector<std::vector<double>>;

struct Statistics;

/// What a score may look at.
struct ScoreContext {
  const Model& model;
  const Combing& combing;
  uint64_t seed = 0;
  const Statistics* statistics = nullptr;  ///< what data has shown; null if none was run
};

/// What must be there before a score can be computed.
enum class Needs {
  kWeights,      ///< the network alone
  kStatistics,   ///< data that was run through it
  kTraining,     ///< the same, while its weights were trained
  kDrawnLabels,  ///< the same, with labels drawn from the network's own output
  kLayers,       ///< the same, and what layers read and give
  kGradients,    ///< the gradient of the loss by the weights
  kHessianTrace  ///< the diagonal of the loss's second derivative by the weights
};

using ScoreFunction = std::function<Scores(const ChannelGroup&, const ScoreContext&)>;

/// A way to score the channels of a unit: any callable over (unit, context) will do.
struct Importance {
  /// One of those that a configuration can name. Throws cpd::Error with the known names.
  Importance(const char* known);  // NOLINT(google-explicit-constructor): `.importance = "l1"`
  Importance(const std::string& known);  // NOLINT(google-explicit-constructor)
  /// One of one's own.
  Importance(std::string own_name, ScoreFunction own_score, Needs own_needs = Needs::kWeights)
      : name(std::move(own_name)), score(std::move(own_score)), needs(own_needs) {}

  std::string name;
  ScoreFunction score;
  Needs needs = Needs::kWeights;
};

/// Uniform random numbers, the same for the same seed and unit name.
Scores score_random(const ChannelGroup& unit, const ScoreContext& context);
/// Sum of |w| over the slices of all layers that write the channel; no biases.
/// Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
Scores score_l1(const ChannelGroup& unit, const ScoreContext& context);
/// Euclidean norm of those slices together.
Scores score_l2(const ChannelGroup& unit, const ScoreContext& context);
/// Sum of the distances to the slices of the other channels of the block: small for channels that
/// others can stand in for. He et al., Filter Pruning via Geometric Median, CVPR 2019.
Scores score_fpgm(const ChannelGroup& unit, const ScoreContext& context);
/// Sum of |gamma| of the batch norms that the channel passes. Liu et al., Network Slimming, ICCV
/// 2017. Throws cpd::Error naming the unit if it passes none.
Scores score_bn_scale(const ChannelGroup& unit, const ScoreContext& context);

/// The scores that a configuration can name: random, l1, l2, fpgm, bn_scale, and those of
/// <cpd/importance/statistics.h>: taylor, fisher, gauss_newton, movement, activation, variance,
/// apoz, flap, and of <cpd/importance/curvature.h>: obs, obd, kfac, and hessian, which is kfac.
std::vector<Importance> importances();
/// Throws cpd::Error with the known names.
Importance find_importance(const std::string& name);

/// What a score is while training goes on: `hessian` is the Fisher gate then, since nothing is
/// refitted and weights move on; all others are what they are.
Importance while_training(const Importance& importance);

/// Throws cpd::Error naming the unit unless there is one finite score for each of its channels.
void check_scores(const ChannelGroup& unit, const Scores& scores);

/// Scores divided by their mean over the unit, so that units of different sizes compare.
Scores normalised(Scores scores);

/// The slices of a member as a matrix: one row for each position of its label array, one column for
/// each element that shares the position. Double precision.
at::Tensor position_rows(const Model& model, const Combing& combing, const Member& member);
/// The same of a tensor that has the shape of the member's parameter.
at::Tensor position_rows(const at::Tensor& tensor, const Combing& combing, const Member& member);

}  // namespace cpd
