#pragma once

#include <cpd/comb/combing.h>
#include <cpd/importance/importance.h>
#include <cpd/model/model.h>

#include <functional>
#include <map>
#include <string>

namespace cpd {

/// The scores of groups, each computed once.
///
/// A residual block is scored in the same measure as the channels of other units. Without all
/// channels of any one unit that lives inside it nothing of its input reaches its sum, so the block
/// is worth what the most valuable of them is. A block without such a unit is worth its part of the
/// channels that it writes: their scores over the number of their writers.
class GroupScores {
 public:
  using Score = std::function<Scores(const ChannelGroup&)>;
  /// `score` gives the scores of a unit of channels. All must outlive it.
  GroupScores(const Model& model, const Combing& combing, Score score);

  /// Valid as long as this object.
  const Scores& of(const ChannelGroup& group);

 private:
  double worth_of(const ChannelGroup& block);

  const Model& model_;
  const Combing& combing_;
  Score score_;
  std::map<std::string, Scores> known_;  ///< by the group's name
};

}  // namespace cpd
