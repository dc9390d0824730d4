#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/importance/gates.h>
#include <cpd/importance/running_statistics.h>
#include <cpd/model/execution.h>

#include <algorithm>
#include <vector>

namespace cpd {
namespace {

int64_t volume(const std::vector<int64_t>& extents) {
  int64_t product = 1;
  for (const int64_t extent : extents) product *= extent;
  return product;
}

Scores scores_in(const ChannelGroup& group, const at::Tensor& flat) {
  Scores scores;
  const at::Tensor own = flat.to(at::kCPU);
  const double* data = own.const_data_ptr<double>();
  for (size_t b = 0; b < group.blocks.size(); ++b, data += group.of) {
    scores.emplace_back(data, data + group.of);
  }
  return scores;
}

/// Shapes of the values at the gates in a run over the first `samples` of the example inputs.
std::vector<std::vector<int64_t>> gate_shapes(const Model& model, const std::vector<Gate>& gates,
                                              int64_t samples) {
  const at::NoGradGuard no_grad;
  const Execution execution(model.graph);
  Tensors values(model.graph.values.size());
  const int64_t dim = model.free.batch_dim;
  for (size_t i = 0; i < model.example_inputs.size(); ++i) {
    const at::Tensor& example = model.example_inputs[i];
    const at::Tensor twice = at::cat({example, example}, dim).narrow(dim, 0, samples);
    values[static_cast<size_t>(model.graph.inputs[i])] = twice;
  }
  c10::Device device = at::kCPU;
  for (const auto& parameter : model.parameters) {
    if (parameter.value < 0) continue;
    values[static_cast<size_t>(parameter.value)] = parameter.tensor.detach();
    if (parameter.role == ParameterRole::kParameter) device = parameter.tensor.device();
  }
  for (const ValueId input : model.graph.inputs) {
    values[static_cast<size_t>(input)] = values[static_cast<size_t>(input)].to(device);
  }
  std::vector<std::vector<int64_t>> shapes(gates.size());
  for (size_t i = 0; i < model.graph.ops.size(); ++i) {
    const auto op = static_cast<OpId>(i);
    for (size_t g = 0; g < gates.size(); ++g) {
      if (gates[g].op != op) continue;
      shapes[g] = values[static_cast<size_t>(gates[g].value)].sizes().vec();
    }
    execution.run_op(op, values);
    for (const ValueId dead : execution.last_uses(op))
      values[static_cast<size_t>(dead)] = at::Tensor();
  }
  return shapes;
}

}  // namespace

struct RunningStatistics::State {
  /// Sums of one unit, over its channels, in double precision.
  struct Sums {
    at::Tensor of_batch;  ///< (samples, channels) of the pass that is under way
    at::Tensor gate, gate_abs, gate_square;
  };

  State(const Model& model_in, const Combing& combing_in)
      : model(model_in), combing(combing_in), sums(combing_in.groups.size()) {
    for (auto& gate : gates_of(model, combing)) {
      if (gate.op > 0) gates.push_back(std::move(gate));
    }
    find_batch_dims();
    for (size_t g = 0; g < gates.size(); ++g) gates_at[gates[g].op].push_back(g);
    clear();
  }

  /// The dimension of each gated value that grows with the number of samples. Where samples and
  /// heads share one, the label array repeats for each sample: its first rows are enough.
  void find_batch_dims() {
    const auto one = gate_shapes(model, gates, 1), two = gate_shapes(model, gates, 2);
    for (size_t g = 0; g < gates.size(); ++g) {
      const auto differs = std::mismatch(one[g].begin(), one[g].end(), two[g].begin());
      if (differs.first == one[g].end()) refuse(g, "does not follow the number of samples");
      batch_dims.push_back(differs.first - one[g].begin());
      for (auto& unit : gates[g].units) leave_out_samples(g, unit, one[g]);
    }
  }

  void leave_out_samples(size_t gate, GateChannels& unit, const std::vector<int64_t>& one) const {
    const auto dim = static_cast<size_t>(batch_dims[gate]);
    if (unit.extents[dim] == 1) return;
    if (dim != 0) refuse(gate, "has channels along the dimension of the samples");
    unit.extents[0] = one[0];
    const at::Tensor own = unit.positions.lt(volume(unit.extents));
    unit.positions = unit.positions.masked_select(own);
    unit.channels = unit.channels.masked_select(own);
  }

  [[noreturn]] void refuse(size_t gate, const std::string& why) const {
    const Op& op = model.graph.op(gates[gate].op);
    throw Error("scores from training are not known here: what the op reads " + why,
                {op.kind, op.where.text(), ""}, "another importance");
  }

  void clear() {
    samples_seen = 0;
    for (auto& each : sums) each = {};
    for (const auto& gate : gates) {
      for (const auto& unit : gate.units) {
        Sums& own = sums[unit.group];
        const ChannelGroup& group = combing.groups[unit.group];
        const auto size = static_cast<int64_t>(group.blocks.size()) * group.of;
        for (auto* tensor : {&own.gate, &own.gate_abs, &own.gate_square}) {
          *tensor = at::zeros({size}, at::kDouble);
        }
      }
    }
  }

  void begin(int64_t batch) {
    finish();
    samples = batch;
  }

  /// Takes in the sums of the pass that is under way; g of a sample is that of a mean over them.
  void finish() {
    const at::NoGradGuard no_grad;
    bool any = false;
    for (auto& own : sums) {
      if (!own.of_batch.defined()) continue;
      any = true;
      const at::Tensor g = own.of_batch.mul(static_cast<double>(samples)).to(at::kCPU);
      own.gate.add_(g.sum(0));
      own.gate_abs.add_(g.abs().sum(0));
      own.gate_square.add_(g.square().sum(0));
      own.of_batch = at::Tensor();
    }
    if (any) samples_seen += samples;
  }

  at::Tensor read_through(size_t gate, const at::Tensor& value) {
    const at::Tensor plain = value.detach();
    const at::Tensor own =
        value.requires_grad() ? value.view_as(value) : plain.alias().requires_grad_();
    own.register_hook([this, gate, plain](const at::Tensor& gradient) {
      const at::NoGradGuard no_grad;
      const at::Tensor product = plain.to(at::kFloat).mul(gradient.to(at::kFloat));
      for (const auto& unit : gates[gate].units) add(gate, unit, product);
    });
    return own;
  }

  void add(size_t gate, const GateChannels& unit, const at::Tensor& product) {
    const at::Tensor positions = by_position(gate, unit, product).to(at::kDouble);
    Sums& own = sums[unit.group];
    if (!own.of_batch.defined()) {
      own.of_batch = at::zeros({samples, own.gate.numel()}, positions.options());
    }
    own.of_batch.index_add_(1, unit.channels.to(positions.device()),
                            positions.index_select(1, unit.positions.to(positions.device())));
  }

  /// Sums over everything but samples and positions of the label array: (samples, positions).
  at::Tensor by_position(size_t gate, const GateChannels& unit, const at::Tensor& product) const {
    const int64_t batch_dim = batch_dims[gate];
    std::vector<int64_t> summed;
    for (size_t d = 0; d < unit.extents.size(); ++d) {
      const auto dim = static_cast<int64_t>(d);
      if (unit.extents[d] == 1 && dim != batch_dim) summed.push_back(dim);
    }
    const at::Tensor kept = summed.empty() ? product : product.sum(summed, true);
    return kept.movedim(batch_dim, 0).reshape({samples, -1, volume(unit.extents)}).sum(1);
  }

  const Model& model;
  const Combing& combing;
  std::vector<Gate> gates;
  std::map<OpId, std::vector<size_t>> gates_at;
  std::vector<int64_t> batch_dims;  ///< by gate
  std::vector<Sums> sums;           ///< by group
  int64_t samples = 0;
  int64_t samples_seen = 0;
};

RunningStatistics::RunningStatistics(const Model& model, const Combing& combing)
    : state_(std::make_unique<State>(model, combing)) {}
RunningStatistics::~RunningStatistics() = default;
RunningStatistics::RunningStatistics(RunningStatistics&&) noexcept = default;
RunningStatistics& RunningStatistics::operator=(RunningStatistics&&) noexcept = default;

RunObserver RunningStatistics::observer(int64_t samples) {
  state_->begin(samples);
  // Called after each op in turn: before the next one runs, what that one reads is put behind a
  // tensor of its own; afterwards the value is what it was.
  return
      [state = state_.get(), op = OpId{0}, plain = std::vector<std::pair<ValueId, at::Tensor>>{}](
          const Op&, Tensors& values) mutable {
        for (auto it = plain.rbegin(); it != plain.rend(); ++it) {
          values[static_cast<size_t>(it->first)] = it->second;
        }
        plain.clear();
        ++op;
        const auto found = state->gates_at.find(op);
        if (found == state->gates_at.end()) return;
        for (const size_t gate : found->second) {
          at::Tensor& value = values[static_cast<size_t>(state->gates[gate].value)];
          plain.emplace_back(state->gates[gate].value, value);
          value = state->read_through(gate, value);
        }
      };
}

Statistics RunningStatistics::statistics() {
  state_->finish();
  Statistics statistics;
  statistics.samples = state_->samples_seen;
  for (size_t g = 0; g < state_->sums.size(); ++g) {
    const State::Sums& sums = state_->sums[g];
    if (!sums.gate.defined()) continue;
    const ChannelGroup& group = state_->combing.groups[g];
    UnitStatistics& unit = statistics.units[group.name];
    unit.gate = scores_in(group, sums.gate);
    unit.gate_abs = scores_in(group, sums.gate_abs);
    unit.gate_square = scores_in(group, sums.gate_square);
  }
  return statistics;
}

void RunningStatistics::clear() { state_->clear(); }

std::map<std::string, at::Tensor> RunningStatistics::state() {
  state_->finish();
  std::map<std::string, at::Tensor> result{
      {"samples", at::scalar_tensor(state_->samples_seen, at::kLong)}};
  for (size_t g = 0; g < state_->sums.size(); ++g) {
    const State::Sums& sums = state_->sums[g];
    if (!sums.gate.defined()) continue;
    const std::string& name = state_->combing.groups[g].name;
    result[name + ".gate"] = sums.gate;
    result[name + ".gate_abs"] = sums.gate_abs;
    result[name + ".gate_square"] = sums.gate_square;
  }
  return result;
}

void RunningStatistics::set_state(const std::map<std::string, at::Tensor>& state) {
  clear();
  const auto take = [&](const std::string& name, at::Tensor& into) {
    const auto found = state.find(name);
    if (found == state.end() || found->second.sizes() != into.sizes()) {
      throw Error("the sums of '" + name + "' are of another network");
    }
    into = found->second.clone();
  };
  at::Tensor samples = at::scalar_tensor(0, at::kLong);
  take("samples", samples);
  state_->samples_seen = samples.item<int64_t>();
  for (size_t g = 0; g < state_->sums.size(); ++g) {
    State::Sums& sums = state_->sums[g];
    if (!sums.gate.defined()) continue;
    const std::string& name = state_->combing.groups[g].name;
    take(name + ".gate", sums.gate);
    take(name + ".gate_abs", sums.gate_abs);
    take(name + ".gate_square", sums.gate_square);
  }
}

bool gates_suffice(const std::string& importance) {
  return importance == "fisher" || importance == "hessian" || importance == "taylor" ||
         importance == "movement";
}

}  // namespace cpd
