#include <cpd/comb/residual_blocks.h>
#include <cpd/mutators/group_scores.h>

#include <algorithm>
#include <set>

namespace cpd {
namespace {

double total(const Scores& scores) {
  double sum = 0;
  for (const auto& block : scores) {
    for (double score : block) sum += score;
  }
  return sum;
}

/// Values of the parameters that leave with a block.
std::set<ValueId> parameters_of(const Model& model, const Combing& combing, Primitive block) {
  Keep keep(combing);
  keep.set(block, false);
  const auto gone = DroppedBlocks(model.graph, combing, keep).parameters(model);
  std::set<ValueId> values;
  for (size_t i = 0; i < gone.size(); ++i) {
    if (gone[i] && model.parameters[i].value >= 0) values.insert(model.parameters[i].value);
  }
  return values;
}

}  // namespace

GroupScores::GroupScores(const Model& model, const Combing& combing, Score score)
    : model_(model), combing_(combing), score_(std::move(score)) {}

const Scores& GroupScores::of(const ChannelGroup& group) {
  const auto known = known_.find(group.name);
  if (known != known_.end()) return known->second;
  Scores scores = group.kind == UnitKind::kBlocks ? Scores{{worth_of(group)}} : score_(group);
  return known_.emplace(group.name, std::move(scores)).first->second;
}

double GroupScores::worth_of(const ChannelGroup& block) {
  const auto own = parameters_of(model_, combing_, block.blocks.front().front());
  double inner = 0, part = 0;
  for (const auto& group : combing_.groups) {
    if (group.kind == UnitKind::kBlocks || !group.offered) continue;
    int64_t inside = 0, writers = 0, own_writers = 0;
    for (const auto& member : group.members) {
      const bool is_own = own.count(member.parameter) > 0;
      inside += is_own;
      if (member.role != Role::kWriter) continue;
      ++writers;
      own_writers += is_own;
    }
    if (inside == static_cast<int64_t>(group.members.size())) {
      inner = std::max(inner, total(of(group)));
    } else if (own_writers > 0 && inner == 0) {
      part = std::max(
          part, total(of(group)) * static_cast<double>(own_writers) / static_cast<double>(writers));
    }
  }
  return inner > 0 ? inner : part;
}

}  // namespace cpd
