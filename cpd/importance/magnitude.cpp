#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <cpd/core/error.h>
#include <cpd/importance/importance.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

namespace cpd {
namespace {

Scores zeros(const ChannelGroup& unit) {
  return Scores(unit.blocks.size(), std::vector<double>(static_cast<size_t>(unit.of), 0.0));
}

double& at(Scores& scores, const ChannelGroup& unit, int32_t channel) {
  return scores[static_cast<size_t>(channel / unit.of)][static_cast<size_t>(channel % unit.of)];
}

/// Adds what `reduce` makes of each position's row to the position's channels.
void add_positions(Scores& scores, const ChannelGroup& unit, const Member& member,
                   const at::Tensor& per_position) {
  const at::Tensor values = per_position.contiguous();
  const double* data = values.const_data_ptr<double>();
  for (const auto& [position, channel] : member.entries)
    at(scores, unit, channel) += data[position];
}

/// Bytes of double precision that are held at a time.
constexpr int64_t kPiece = int64_t{32} << 20;

/// The rows of `position_rows` in the tensor's own precision.
at::Tensor own_rows(const at::Tensor& tensor, const Combing& combing, const Member& member) {
  const FormArray& array = combing.arrays[static_cast<size_t>(member.array)];
  std::vector<int64_t> order;
  int64_t positions = 1;
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t d = 0; d < array.extents.size(); ++d) {
      const bool varies = array.extents[d] > 1;
      if (varies == (pass == 0)) order.push_back(static_cast<int64_t>(d));
      if (varies && pass == 0) positions *= array.extents[d];
    }
  }
  return tensor.permute(order).reshape({positions, -1});
}

/// What `reduce` makes of each position's row, in double precision: a piece of a large weight at a
/// time.
at::Tensor in_pieces(const at::Tensor& rows,
                     const std::function<at::Tensor(const at::Tensor&)>& reduce) {
  const int64_t step = std::max<int64_t>(1, kPiece / (8 * std::max<int64_t>(1, rows.size(1))));
  std::vector<at::Tensor> parts;
  for (const at::Tensor& piece : rows.split(step)) parts.push_back(reduce(piece.to(at::kDouble)));
  return at::cat(parts);
}

Scores over_writers(const ChannelGroup& unit, const ScoreContext& context,
                    const std::function<at::Tensor(const at::Tensor&)>& reduce) {
  Scores scores = zeros(unit);
  for (const auto& member : unit.members) {
    if (member.role != Role::kWriter) continue;
    const at::Tensor weight = context.model.parameter(member.parameter).tensor.detach();
    add_positions(scores, unit, member,
                  in_pieces(own_rows(weight, context.combing, member), reduce));
  }
  return scores;
}

/// The positions of each channel in one member, in order.
std::vector<std::vector<int64_t>> positions_by_channel(const ChannelGroup& unit,
                                                       const Member& member) {
  std::vector<std::vector<int64_t>> positions(unit.blocks.size() * static_cast<size_t>(unit.of));
  for (const auto& [position, channel] : member.entries) {
    positions[static_cast<size_t>(channel)].push_back(position);
  }
  return positions;
}

/// All slices of the channels of one block as rows of a matrix.
at::Tensor block_matrix(const ChannelGroup& unit, const ScoreContext& context, size_t block) {
  std::vector<at::Tensor> parts;
  for (const auto& member : unit.members) {
    if (member.role != Role::kWriter) continue;
    const auto positions = positions_by_channel(unit, member);
    const auto first = block * static_cast<size_t>(unit.of);
    const auto& of_first = positions[first];
    if (of_first.empty()) continue;
    std::vector<int64_t> flat;
    for (size_t i = 0; i < static_cast<size_t>(unit.of); ++i) {
      flat.insert(flat.end(), positions[first + i].begin(), positions[first + i].end());
    }
    const at::Tensor rows = position_rows(context.model, context.combing, member);
    parts.push_back(rows.index_select(0, at::tensor(at::ArrayRef<int64_t>(flat), at::kLong))
                        .reshape({unit.of, -1}));
  }
  return parts.empty() ? at::Tensor() : at::cat(parts, 1);
}

uint64_t hash_of(const std::string& text) {
  uint64_t hash = 1469598103934665603ULL;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

std::set<ValueId> batch_norm_scales(const Graph& graph) {
  std::set<ValueId> scales;
  for (const auto& op : graph.ops) {
    if (op.kind == "aten::batch_norm" && op.has("weight")) scales.insert(op.tensor("weight"));
  }
  return scales;
}

}  // namespace

at::Tensor position_rows(const Model& model, const Combing& combing, const Member& member) {
  return position_rows(model.parameter(member.parameter).tensor.detach(), combing, member);
}

at::Tensor position_rows(const at::Tensor& tensor, const Combing& combing, const Member& member) {
  return own_rows(tensor.to(at::kDouble), combing, member);
}

Scores score_random(const ChannelGroup& unit, const ScoreContext& context) {
  std::mt19937_64 random(context.seed ^ hash_of(unit.name));
  Scores scores = zeros(unit);
  for (auto& block : scores) {
    for (auto& score : block) score = static_cast<double>(random() >> 11) * 0x1p-53;
  }
  return scores;
}

Scores score_l1(const ChannelGroup& unit, const ScoreContext& context) {
  return over_writers(unit, context, [](const at::Tensor& rows) { return rows.abs().sum(1); });
}

Scores score_l2(const ChannelGroup& unit, const ScoreContext& context) {
  Scores scores =
      over_writers(unit, context, [](const at::Tensor& rows) { return rows.square().sum(1); });
  for (auto& block : scores) {
    for (auto& score : block) score = std::sqrt(score);
  }
  return scores;
}

Scores score_fpgm(const ChannelGroup& unit, const ScoreContext& context) {
  Scores scores = zeros(unit);
  for (size_t block = 0; block < scores.size(); ++block) {
    const at::Tensor matrix = block_matrix(unit, context, block);
    if (!matrix.defined()) continue;
    const at::Tensor sums = at::cdist(matrix, matrix).sum(1).contiguous();
    for (size_t i = 0; i < scores[block].size(); ++i) {
      scores[block][i] = sums.const_data_ptr<double>()[i];
    }
  }
  return scores;
}

Scores score_bn_scale(const ChannelGroup& unit, const ScoreContext& context) {
  const auto scales = batch_norm_scales(context.model.graph);
  Scores scores = zeros(unit);
  bool found = false;
  for (const auto& member : unit.members) {
    if (scales.count(member.parameter) == 0) continue;
    found = true;
    add_positions(scores, unit, member,
                  position_rows(context.model, context.combing, member).abs().sum(1));
  }
  if (!found) {
    throw Error("unit " + unit.name + " has no batch norm whose scale could be its score", {},
                "another importance, or the unit frozen");
  }
  return scores;
}

Scores normalised(Scores scores) {
  double sum = 0;
  size_t count = 0;
  for (const auto& block : scores) {
    for (double score : block) sum += score;
    count += block.size();
  }
  if (sum <= 0) return scores;
  for (auto& block : scores) {
    for (auto& score : block) score *= static_cast<double>(count) / sum;
  }
  return scores;
}

}  // namespace cpd
