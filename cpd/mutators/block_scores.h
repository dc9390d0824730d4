#pragma once

#include <cpd/comb/combing.h>
#include <cpd/importance/importance.h>
#include <cpd/model/model.h>

#include <functional>
#include <vector>

namespace cpd {

/// What a residual block is worth, in the same measure as the channels of other units.
///
/// Without all channels of any one unit that lives inside the block nothing of its input reaches
/// its sum, so the block is worth what the most valuable of them is. A block without such a unit is
/// worth its part of the channels that it writes: their scores over the number of their writers.
class BlockScores {
 public:
  using Score = std::function<Scores(const ChannelGroup&)>;
  /// `score` gives the scores of a unit of channels. All must outlive it.
  BlockScores(const Model& model, const Combing& combing, Score score);

  double of(const ChannelGroup& block) const;

 private:
  const Model& model_;
  const Combing& combing_;
  Score score_;
};

}  // namespace cpd
