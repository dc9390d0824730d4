#pragma once

#include <cpd/importance/importance.h>
#include <cpd/importance/statistics.h>

namespace cpd {

/// Damping of the second moments of a layer's inputs, relative to their mean.
constexpr double kObsDamping = 1e-3;

/// What a channel's removal costs in the squared error of its readers' outputs, after those that
/// are cheaper and with the readers' weights refitted: structured OBS (see `StructuredObs`),
/// channels removed greedily. Meant to be followed by a refit. Throws cpd::Error if no convolution
/// or linear layer reads the unit.
Scores score_obs(const ChannelGroup& unit, const ScoreContext& context);

/// The same in units of the loss: the squared error is weighted with the second moments G of the
/// gradients of the readers' outputs, 1/2 tr(G W_S ([A^-1]_SS)^-1 W_S') (K-FAC; Wang et al.,
/// EigenDamage, ICML 2019). K-FAC takes gradients at different positions for uncorrelated, which
/// puts whole layers off: the scores of a unit are scaled so that removals which nothing makes up
/// for would cost together what the gates say (`score_fisher`), so that units compare. A unit that
/// no convolution or linear layer reads gets the Fisher gate in the same units.
Scores score_kfac(const ChannelGroup& unit, const ScoreContext& context);

/// 1/2 sum of h w^2 over the readers' weights, with the diagonal of the K-FAC curvature for h:
/// Optimal Brain Damage (LeCun, Denker and Solla, NIPS 1989) in the form of C-OBD (Wang et al.,
/// 2019).
Scores score_obd(const ChannelGroup& unit, const ScoreContext& context);

}  // namespace cpd
