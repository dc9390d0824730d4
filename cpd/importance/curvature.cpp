#include <ATen/ops/linalg_cholesky_ex.h>
#include <cpd/core/error.h>
#include <cpd/importance/curvature.h>
#include <cpd/importance/reader_columns.h>
#include <cpd/importance/structured_obs.h>

#include <algorithm>

namespace cpd {
namespace {

/// A reader of a unit with what data has shown about it.
struct Reader {
  ReaderColumns columns;
  at::Tensor weight;      ///< (outputs, columns)
  at::Tensor moments;     ///< of the inputs: (columns, columns) or (columns)
  at::Tensor deviations;  ///< the same, less what a constant can make up for
  at::Tensor gradients;   ///< of the outputs: (outputs, outputs) or (outputs)
};

/// Where a constant can make up for the mean, only what deviates from it counts.
at::Tensor deviations_of(const ScoreContext& context, const LayerStatistics& layer,
                         const ReaderColumns& columns) {
  const at::Tensor moments = layer.inputs[columns.group], means = layer.means[columns.group];
  const Graph& graph = context.model.graph;
  if (constant_place(graph, graph.users(), columns.layer).none()) return moments;
  return moments.dim() == 1 ? moments.sub(means.square()).clamp_min(0)
                            : moments.sub(means.outer(means));
}

std::vector<Reader> readers_of(const ChannelGroup& unit, const ScoreContext& context) {
  if (context.statistics == nullptr) throw Error("the score of unit " + unit.name + " needs data");
  std::vector<Reader> readers;
  for (auto& columns : reader_columns(context.model, context.combing, unit)) {
    const auto found = context.statistics->layers.find(columns.layer.op());
    if (found == context.statistics->layers.end()) continue;
    const at::Tensor weight = context.model.parameter(columns.layer.weight()).tensor.detach();
    Reader& reader = readers.emplace_back();
    reader.weight = columns.layer.matrix(weight)[columns.group].to(at::kDouble);
    reader.moments = found->second.inputs[columns.group];
    reader.deviations = deviations_of(context, found->second, columns);
    if (found->second.gradients.defined()) {
      reader.gradients = found->second.gradients[columns.group];
    }
    reader.columns = std::move(columns);
  }
  return readers;
}

/// L' W with G = L L': what the loss makes of changes of the weight is then their square.
at::Tensor weighted(const at::Tensor& weight, const at::Tensor& gradients) {
  if (gradients.dim() == 1) return weight.mul(gradients.sqrt().unsqueeze(1));
  at::Tensor held = gradients.clone();
  double more = std::max(1e-10 * held.diagonal().mean().item<double>(), 1e-300);
  for (int tries = 0; tries < 12; ++tries, more *= 10) {
    held.diagonal().add_(more);
    const auto [factor, info] = at::linalg_cholesky_ex(held);
    if (info.item<int>() == 0) return factor.t().mm(weight);
  }
  throw Error("the gradients of a layer's outputs cannot be used", {},
              "calibration data without infinite values");
}

int64_t channels_in(const ChannelGroup& unit) {
  return static_cast<int64_t>(unit.blocks.size()) * unit.of;
}

Scores by_block(const ChannelGroup& unit, const std::vector<double>& flat) {
  Scores scores;
  for (size_t b = 0; b < unit.blocks.size(); ++b) {
    const auto begin = flat.begin() + static_cast<std::ptrdiff_t>(b) * unit.of;
    scores.emplace_back(begin, begin + unit.of);
  }
  return scores;
}

/// Each channel's score is what its removal costs after those that are cheaper. Costs that fall on
/// the way are lifted to those before, so that the order of the scores is that of the removal.
Scores in_order_of_removal(const ChannelGroup& unit, StructuredObs obs, double factor) {
  std::vector<double> scores(static_cast<size_t>(channels_in(unit)), 0.0);
  double last = 0;
  for (const Removal& removal : remove_greedily(std::move(obs))) {
    last = std::max(last * (1 + 1e-12), factor * removal.loss);
    scores[static_cast<size_t>(removal.channel)] = last;
  }
  return by_block(unit, scores);
}

StructuredObs obs_of(const ChannelGroup& unit, const std::vector<Reader>& readers) {
  StructuredObs obs(channels_in(unit));
  for (const Reader& reader : readers) {
    obs.add_layer(reader.weight, reader.deviations, kObsDamping, reader.columns.channel_of);
  }
  return obs;
}

bool knows_gradients(const std::vector<Reader>& readers) {
  return !readers.empty() && std::all_of(readers.begin(), readers.end(), [](const Reader& reader) {
    return reader.gradients.defined();
  });
}

/// What the removal of each channel would cost if nothing made up for it.
std::vector<double> uncompensated(const ChannelGroup& unit, const std::vector<Reader>& readers) {
  std::vector<double> losses(static_cast<size_t>(channels_in(unit)), 0.0);
  for (const Reader& reader : readers) {
    const auto own = losses_without_refit(reader.weight, reader.moments, reader.columns.channel_of,
                                          channels_in(unit));
    for (size_t c = 0; c < losses.size(); ++c) losses[c] += own[c];
  }
  return losses;
}

double sum_of(const Scores& scores) {
  double sum = 0;
  for (const auto& block : scores) {
    for (double score : block) sum += score;
  }
  return sum;
}

/// The Fisher gate in units of the loss of a sample.
Scores gate_losses(const ChannelGroup& unit, const ScoreContext& context) {
  Scores scores = score_fisher(unit, context);
  for (auto& block : scores) {
    for (auto& score : block) score *= 0.5 / static_cast<double>(context.statistics->samples);
  }
  return scores;
}

}  // namespace

Scores score_obs(const ChannelGroup& unit, const ScoreContext& context) {
  const auto readers = readers_of(unit, context);
  if (readers.empty()) {
    throw Error("no convolution or linear layer reads the channels of unit " + unit.name, {},
                "another importance (hessian, fisher), or the unit frozen");
  }
  return in_order_of_removal(unit, obs_of(unit, readers), 1);
}

Scores score_kfac(const ChannelGroup& unit, const ScoreContext& context) {
  auto readers = readers_of(unit, context);
  const Scores gates = gate_losses(unit, context);
  if (!knows_gradients(readers)) return gates;
  for (Reader& reader : readers) reader.weight = weighted(reader.weight, reader.gradients);
  double uncorrelated = 0;
  for (double loss : uncompensated(unit, readers)) uncorrelated += 0.5 * loss;
  const double scale = uncorrelated > 0 ? sum_of(gates) / uncorrelated : 1;
  return in_order_of_removal(unit, obs_of(unit, readers), 0.5 * scale);
}

Scores score_obd(const ChannelGroup& unit, const ScoreContext& context) {
  const auto readers = readers_of(unit, context);
  if (!knows_gradients(readers)) {
    throw Error("no convolution or linear layer reads the channels of unit " + unit.name, {},
                "another importance (hessian, fisher), or the unit frozen");
  }
  std::vector<double> scores(static_cast<size_t>(channels_in(unit)), 0.0);
  for (const Reader& reader : readers) {
    const auto diagonal = [](const at::Tensor& m) { return m.dim() == 1 ? m : m.diagonal(); };
    const at::Tensor losses = diagonal(reader.gradients)
                                  .unsqueeze(0)
                                  .mm(reader.weight.square())
                                  .squeeze(0)
                                  .mul(diagonal(reader.moments))
                                  .mul(0.5)
                                  .contiguous();
    for (size_t j = 0; j < reader.columns.channel_of.size(); ++j) {
      const int64_t channel = reader.columns.channel_of[j];
      if (channel >= 0) scores[static_cast<size_t>(channel)] += losses.const_data_ptr<double>()[j];
    }
  }
  return by_block(unit, scores);
}

}  // namespace cpd
