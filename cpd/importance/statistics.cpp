#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/core/memory.h>
#include <cpd/core/random.h>
#include <cpd/importance/calibration.h>
#include <cpd/importance/gates.h>
#include <cpd/importance/layer_rows.h>
#include <cpd/importance/layer_sums.h>
#include <cpd/importance/reader_columns.h>
#include <cpd/importance/sample_loss.h>
#include <cpd/importance/statistics.h>
#include <cpd/importance/weight_derivatives.h>
#include <cpd/model/execution.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace cpd {
namespace {

/// Sums of one unit while data runs, over (N, channels) or (channels) in double precision.
struct Sums {
  at::Tensor of_batch;  ///< g of the batch's samples
  at::Tensor gate, gate_abs, gate_square, values, squares, zeros;
  at::Tensor count;  ///< values read
};

class Gathering {
 public:
  Gathering(const Model& model, const Combing& combing, const StatisticsOptions& options,
            int64_t samples)
      : model_(model),
        combing_(combing),
        options_(options),
        execution_(model.graph),
        gates_(gates_of(model, combing)),
        sums_(combing.groups.size()) {
    for (size_t i = 0; i < gates_.size(); ++i) gates_at_[gates_[i].op].push_back(i);
    for (const auto& gate : gates_) {
      for (const auto& unit : gate.units) begin(unit.group);
    }
    if (options.layers) begin_layers(std::max<int64_t>(samples, 1));
  }

  void add(const CalibrationBatch& batch) {
    samples_in_batch_ = batch.inputs.front().size(model_.free.batch_dim);
    if (batch_dims_.empty()) find_batch_dims(batch.inputs);
    for (auto& sums : sums_) {
      if (!sums.gate.defined()) continue;
      sums.of_batch = at::zeros({samples_in_batch_, sums.gate.numel()}, at::kDouble);
    }
    const at::AutoGradMode grad(true);
    const at::Tensor loss =
        sample_loss(run(batch.inputs, true), batch.labels, samples_in_batch_, samples_, options_);
    if (loss.requires_grad()) loss.backward();
    for (auto& sums : sums_) {
      if (!sums.gate.defined()) continue;
      sums.gate.add_(sums.of_batch.sum(0));
      sums.gate_abs.add_(sums.of_batch.abs().sum(0));
      sums.gate_square.add_(sums.of_batch.square().sum(0));
    }
    samples_ += samples_in_batch_;
  }

  Statistics take() {
    Statistics statistics;
    statistics.samples = samples_;
    for (auto& [op, sums] : layers_) statistics.layers[op] = sums.take(samples_);
    for (size_t g = 0; g < sums_.size(); ++g) {
      const Sums& sums = sums_[g];
      if (!sums.gate.defined()) continue;
      const ChannelGroup& group = combing_.groups[g];
      const at::Tensor mean = sums.values.div(sums.count);
      UnitStatistics& unit = statistics.units[group.name];
      unit.gate = scores(group, sums.gate);
      unit.gate_abs = scores(group, sums.gate_abs);
      unit.gate_square = scores(group, sums.gate_square);
      unit.mean = scores(group, mean);
      unit.variance = scores(group, sums.squares.div(sums.count).sub(mean.square()).clamp_min(0));
      unit.zeros = scores(group, sums.zeros.div(sums.count));
    }
    return statistics;
  }

 private:
  void begin(size_t group) {
    Sums& sums = sums_[group];
    if (sums.gate.defined()) return;
    const auto& unit = combing_.groups[group];
    const auto size = static_cast<int64_t>(unit.blocks.size()) * unit.of;
    for (auto* tensor : {&sums.gate, &sums.gate_abs, &sums.gate_square, &sums.values, &sums.squares,
                         &sums.zeros, &sums.count}) {
      *tensor = at::zeros({size}, at::kDouble);
    }
  }

  /// Layers whose weights read some unit.
  void begin_layers(int64_t samples) {
    std::set<ValueId> readers;
    for (const auto& group : combing_.groups) {
      for (const auto& member : group.members) {
        if (member.role == Role::kReader) readers.insert(member.parameter);
      }
    }
    for (size_t i = 0; i < model_.graph.ops.size(); ++i) {
      const auto op = static_cast<OpId>(i);
      const auto layer = LayerRows::of(model_.graph, op);
      if (!layer || readers.count(layer->weight()) == 0) continue;
      const Shape& weight = model_.graph.value(layer->weight()).shape;
      const int64_t rows = rows_worth(shape_volume(weight) / weight.front(), options_.rows);
      layers_.emplace(op, LayerSums(*layer, (rows + samples - 1) / samples, mix(options_.seed, i)));
    }
  }

  static Scores scores(const ChannelGroup& group, const at::Tensor& flat) {
    Scores result;
    const double* data = flat.const_data_ptr<double>();
    for (size_t b = 0; b < group.blocks.size(); ++b, data += group.of) {
      result.emplace_back(data, data + group.of);
    }
    return result;
  }

  /// Runs the graph; with gates, every reader reads through a tensor of its own.
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, bool gated) {
    const Graph& graph = model_.graph;
    Tensors values(graph.values.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      values[static_cast<size_t>(graph.inputs[i])] = inputs[i].detach();
    }
    for (const auto& parameter : model_.parameters) {
      if (parameter.value < 0) continue;
      values[static_cast<size_t>(parameter.value)] = parameter.tensor.detach();
    }
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      const auto op = static_cast<OpId>(i);
      std::vector<std::pair<ValueId, at::Tensor>> plain;
      for (size_t gate : gates_at_[op]) {
        at::Tensor& value = values[static_cast<size_t>(gates_[gate].value)];
        plain.emplace_back(gates_[gate].value, value);
        if (gated) {
          value = read_through(gate, value);
        } else {
          shapes_[gate] = value.sizes().vec();
        }
      }
      execution_.run_op(op, values);
      if (gated) add_layer(op, values);
      for (auto it = plain.rbegin(); it != plain.rend(); ++it) {
        values[static_cast<size_t>(it->first)] = it->second;
      }
      for (ValueId dead : execution_.last_uses(op))
        values[static_cast<size_t>(dead)] = at::Tensor();
    }
    std::vector<at::Tensor> outputs;
    for (ValueId id : graph.output_values()) outputs.push_back(values[static_cast<size_t>(id)]);
    return outputs;
  }

  void add_layer(OpId op, const Tensors& values) {
    const auto found = layers_.find(op);
    if (found == layers_.end()) return;
    const auto value = [&](ValueId id) { return values[static_cast<size_t>(id)]; };
    const LayerRows& layer = found->second.layer();
    found->second.add(value(layer.input()).detach(), value(layer.output()), samples_in_batch_,
                      samples_);
  }

  at::Tensor read_through(size_t gate, const at::Tensor& value) {
    const at::Tensor plain = value.detach();
    add_values(gate, plain);
    const at::Tensor own =
        value.requires_grad() ? value.view_as(value) : plain.alias().requires_grad_();
    own.register_hook([this, gate, plain](const at::Tensor& gradient) {
      const at::NoGradGuard no_grad;
      for (const auto& unit : gates_[gate].units) {
        const at::Tensor sums = by_position(gate, unit, at_least_single(plain).mul(gradient));
        sums_[unit.group].of_batch.index_add_(1, unit.channels,
                                              sums.index_select(1, unit.positions));
      }
    });
    return own;
  }

  /// Sums over everything but samples and positions of the label array: (N, positions). One sample
  /// is summed in the precision of the value, the rest in double.
  at::Tensor by_position(size_t gate, const GateChannels& unit, const at::Tensor& value) const {
    const int64_t batch_dim = batch_dims_[gate];
    std::vector<int64_t> summed;
    for (size_t d = 0; d < unit.extents.size(); ++d) {
      if (unit.extents[d] == 1 && static_cast<int64_t>(d) != batch_dim) {
        summed.push_back(static_cast<int64_t>(d));
      }
    }
    const at::Tensor kept = summed.empty() ? value : value.sum(summed, true);
    return kept.to(at::kDouble)
        .movedim(batch_dim, 0)
        .reshape({samples_in_batch_, -1, shape_volume(unit.extents)})
        .sum(1);
  }

  static int64_t shape_volume(const std::vector<int64_t>& extents) {
    int64_t volume = 1;
    for (int64_t extent : extents) volume *= extent;
    return volume;
  }

  void add_values(size_t gate, const at::Tensor& value) {
    const at::Tensor wide = at_least_single(value);
    const at::Tensor squares = wide.square(), zeros = wide.eq(0).to(wide.scalar_type());
    for (const auto& unit : gates_[gate].units) {
      Sums& sums = sums_[unit.group];
      const auto add = [&](at::Tensor& sum, const at::Tensor& tensor) {
        const at::Tensor totals = by_position(gate, unit, tensor).sum(0);
        sum.index_add_(0, unit.channels, totals.index_select(0, unit.positions));
      };
      add(sums.values, wide);
      add(sums.squares, squares);
      add(sums.zeros, zeros);
      const double per_position =
          static_cast<double>(value.numel()) / static_cast<double>(shape_volume(unit.extents));
      sums.count.index_add_(0, unit.channels,
                            at::zeros(unit.channels.sizes(), at::kDouble).add_(per_position));
    }
  }

  /// The dimension of each gated value that grows with the number of samples.
  void find_batch_dims(const std::vector<at::Tensor>& inputs) {
    batch_dims_.assign(gates_.size(), 0);
    shapes_.assign(gates_.size(), {});
    const at::NoGradGuard no_grad;
    run(inputs, false);
    const auto all = shapes_;
    if (samples_in_batch_ > 1 && model_.free.batch) {
      std::vector<at::Tensor> first;
      for (const auto& input : inputs) first.push_back(input.narrow(model_.free.batch_dim, 0, 1));
      run(first, false);
      for (size_t g = 0; g < gates_.size(); ++g) {
        const auto differs = std::mismatch(all[g].begin(), all[g].end(), shapes_[g].begin());
        if (differs.first == all[g].end()) refuse(g, "does not follow the number of samples");
        batch_dims_[g] = differs.first - all[g].begin();
      }
    }
    for (size_t g = 0; g < gates_.size(); ++g) {
      for (auto& unit : gates_[g].units) leave_out_samples(g, unit, all[g]);
    }
  }

  /// Where samples and heads share a dimension, the label array repeats for each sample: its first
  /// rows are enough.
  void leave_out_samples(size_t gate, GateChannels& unit, const std::vector<int64_t>& shape) const {
    const auto batch_dim = static_cast<size_t>(batch_dims_[gate]);
    if (unit.extents[batch_dim] == 1) return;
    if (batch_dim != 0 || shape[0] % samples_in_batch_ != 0) {
      refuse(gate, "has channels along the dimension of the samples");
    }
    unit.extents[0] = shape[0] / samples_in_batch_;
    const at::Tensor own = unit.positions.lt(shape_volume(unit.extents));
    unit.positions = unit.positions.masked_select(own);
    unit.channels = unit.channels.masked_select(own);
  }

  [[noreturn]] void refuse(size_t gate, const std::string& why) const {
    const Op& op = model_.graph.op(gates_[gate].op);
    throw Error("scores from data are not known here: what the op reads " + why,
                {op.kind, op.where.text(), ""}, "another importance");
  }

  const Model& model_;
  const Combing& combing_;
  const StatisticsOptions& options_;
  Execution execution_;
  std::vector<Gate> gates_;
  std::map<OpId, std::vector<size_t>> gates_at_;
  std::vector<int64_t> batch_dims_;           ///< by gate
  std::vector<std::vector<int64_t>> shapes_;  ///< by gate, of the last run without gradients
  std::vector<Sums> sums_;                    ///< by group
  std::map<OpId, LayerSums> layers_;
  int64_t samples_in_batch_ = 0;
  int64_t samples_ = 0;
};

const UnitStatistics& statistics_of(const ChannelGroup& unit, const ScoreContext& context) {
  if (context.statistics == nullptr) throw Error("the score of unit " + unit.name + " needs data");
  const auto found = context.statistics->units.find(unit.name);
  if (found != context.statistics->units.end()) return found->second;
  throw Error("no layer sums over the channels of unit " + unit.name, {},
              "another importance, or the unit frozen");
}

}  // namespace

Statistics gather_statistics(const Model& model, const Combing& combing,
                             const CalibrationData& data, const StatisticsOptions& options) {
  check_calibration(model, data);
  Gathering gathering(model, combing, options, samples_in(model, data));
  for (const auto& batch : in_passes(model, data)) gathering.add(batch);
  Statistics statistics = gathering.take();
  if (options.gradients || options.hessian_probes > 0) {
    add_weight_derivatives(model, combing, data, options, statistics);
  }
  give_back_freed_memory();
  return statistics;
}

StatisticsOptions statistics_for(Needs needs) {
  StatisticsOptions options;
  options.layers = needs == Needs::kLayers;
  options.draw_labels = needs == Needs::kLayers || needs == Needs::kDrawnLabels;
  options.gradients = needs == Needs::kGradients;
  options.hessian_probes = needs == Needs::kHessianTrace ? kHessianProbes : 0;
  return options;
}

Scores score_taylor(const ChannelGroup& unit, const ScoreContext& context) {
  return statistics_of(unit, context).gate_abs;
}

Scores score_fisher(const ChannelGroup& unit, const ScoreContext& context) {
  return statistics_of(unit, context).gate_square;
}

Scores score_movement(const ChannelGroup& unit, const ScoreContext& context) {
  Scores scores = statistics_of(unit, context).gate;
  for (auto& block : scores) {
    for (auto& score : block) score = -score;
  }
  return scores;
}

Scores score_activation(const ChannelGroup& unit, const ScoreContext& context) {
  Scores scores = statistics_of(unit, context).mean;
  for (auto& block : scores) {
    for (auto& score : block) score = std::abs(score);
  }
  return scores;
}

Scores score_variance(const ChannelGroup& unit, const ScoreContext& context) {
  return statistics_of(unit, context).variance;
}

Scores score_flap(const ChannelGroup& unit, const ScoreContext& context) {
  Scores scores = statistics_of(unit, context).variance;
  Scores norms(scores.size(), std::vector<double>(static_cast<size_t>(unit.of), 0.0));
  for (const auto& reader : reader_columns(context.model, context.combing, unit)) {
    const at::Tensor weight = context.model.parameter(reader.layer.weight()).tensor.detach();
    const at::Tensor squares =
        reader.layer.matrix(weight)[reader.group].to(at::kDouble).square().sum(0).contiguous();
    for (size_t column = 0; column < reader.channel_of.size(); ++column) {
      const int64_t channel = reader.channel_of[column];
      if (channel < 0) continue;
      norms[static_cast<size_t>(channel / unit.of)][static_cast<size_t>(channel % unit.of)] +=
          squares.const_data_ptr<double>()[column];
    }
  }
  for (size_t b = 0; b < scores.size(); ++b) {
    for (size_t i = 0; i < scores[b].size(); ++i) scores[b][i] *= norms[b][i];
  }
  return scores;
}

Scores score_apoz(const ChannelGroup& unit, const ScoreContext& context) {
  Scores scores = statistics_of(unit, context).zeros;
  for (auto& block : scores) {
    for (auto& score : block) score = 1 - score;
  }
  return scores;
}

}  // namespace cpd
