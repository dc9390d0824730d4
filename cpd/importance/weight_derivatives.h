#pragma once

#include <cpd/importance/statistics.h>

namespace cpd {

/// Adds to `statistics` what `options` asks for of the loss's derivatives by the parameters that
/// write units: their gradients, and estimates of the diagonal of the second derivative by
/// Hutchinson's method: v * (H v) for random signs v, of which `hessian_probes` are averaged for
/// each batch (Hutchinson 1989; Bekas, Kokiopoulou and Saad 2007). One more forward pass for each
/// batch, one backward pass for the gradients and one for each product.
void add_weight_derivatives(const Model& model, const Combing& combing, const CalibrationData& data,
                            const StatisticsOptions& options, Statistics& statistics);
/// Products for each batch where a score asks for diagonals.
constexpr int kHessianProbes = 8;

/// Sum over the writers' weights of |gradient|.
Scores score_gradient(const ChannelGroup& unit, const ScoreContext& context);
/// 1/2 of the mean of the second derivatives of a channel's weights times the squared norm of these
/// weights. Yu et al., Hessian-Aware Pruning and Optimal Neural Implant, WACV 2022.
Scores score_hessian_trace(const ChannelGroup& unit, const ScoreContext& context);

}  // namespace cpd
