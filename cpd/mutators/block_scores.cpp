#include <cpd/comb/residual_blocks.h>
#include <cpd/mutators/block_scores.h>

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

BlockScores::BlockScores(const Model& model, const Combing& combing, Score score)
    : model_(model), combing_(combing), score_(std::move(score)) {}

double BlockScores::of(const ChannelGroup& block) const {
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
      inner = std::max(inner, total(score_(group)));
    } else if (own_writers > 0 && inner == 0) {
      part = std::max(part, total(score_(group)) * static_cast<double>(own_writers) /
                                static_cast<double>(writers));
    }
  }
  return inner > 0 ? inner : part;
}

}  // namespace cpd
