#include <cpd/comb/residual_blocks.h>
#include <cpd/core/error.h>
#include <cpd/dynamic_ops/architecture.h>
#include <cpd/dynamic_ops/dynamic_model.h>

#include <algorithm>
#include <ostream>

namespace cpd {
namespace {

void check_inputs(const Graph& graph, const std::vector<at::Tensor>& inputs) {
  if (inputs.size() != graph.inputs.size()) {
    throw Error("the network got " + std::to_string(inputs.size()) + " inputs", {},
                std::to_string(graph.inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& value = graph.value(graph.inputs[i]);
    const auto rank = static_cast<int64_t>(value.shape.size());
    if (inputs[i].defined() && inputs[i].dim() == rank) continue;
    throw Error("input '" + value.name + "' " +
                    (inputs[i].defined() ? "has " + std::to_string(inputs[i].dim()) + " dimensions"
                                         : "is undefined"),
                {}, "a tensor of " + std::to_string(rank) + " dimensions");
  }
}

}  // namespace

struct DynamicModel::State {
  State(std::shared_ptr<const Model> model_in, std::shared_ptr<const Combing> combing_in,
        const Rules& rules_in, const DynamicOpTable& table_in)
      : model(std::move(model_in)),
        combing(std::move(combing_in)),
        rules(rules_in),
        table(table_in),
        keep(*combing),
        masks(model->graph, *combing),
        blocks(model->graph, *combing, keep),
        dense(model->graph) {
    services.masks = &masks;
    services.compact = [this]() -> CompactForm& { return compact_form(); };
    services.masked_parameters = &masked_parameters;
    for (size_t i = 0; i < model->graph.ops.size(); ++i) {
      ops.push_back(table.make(*model, static_cast<OpId>(i), rules));
    }
    find_cut_ops();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  CompactForm& compact_form() {
    if (!compact) compact = std::make_unique<CompactForm>(*model, *combing, keep, rules);
    return *compact;
  }

  /// Ops that do not see a removed channel run as they are, and so do those that were evaluated
  /// once for all: the compact network takes their full result.
  void find_cut_ops() {
    is_cut.assign(ops.size(), false);
    if (masks.whole()) return;
    for (size_t i = 0; i < ops.size(); ++i) {
      const Op& op = model->graph.ops[i];
      const auto cut = [&](ValueId id) { return id >= 0 && masks.cuts(id); };
      const auto operands = op.operands();
      const auto output = static_cast<size_t>(op.outputs.front());
      const bool folded = output < combing->folded.size() && combing->folded[output];
      is_cut[i] = !folded && (std::any_of(operands.begin(), operands.end(), cut) ||
                              std::any_of(op.outputs.begin(), op.outputs.end(), cut));
    }
  }

  /// Instead of an op that is gone with a dropped block.
  void skip(OpId id, Tensors& values) const {
    for (ValueId output : model->graph.op(id).outputs) {
      const auto trunk = blocks.trunks().find(output);
      if (trunk == blocks.trunks().end()) continue;
      values[static_cast<size_t>(output)] = values[static_cast<size_t>(trunk->second)];
    }
  }

  std::vector<at::Tensor> run(const Execution& execution, Tensors& values,
                              const std::function<void(OpRun&, size_t)>& run_op,
                              const RunObserver& observer) {
    const Graph& graph = execution.graph();
    for (size_t i = 0; i < graph.ops.size(); ++i) {
      const auto id = static_cast<OpId>(i);
      if (mode == RunMode::kMasked && blocks.has(id)) {
        skip(id, values);
      } else {
        OpRun op_run(*model, execution, id, values, training, services);
        run_op(op_run, i);
        if (observer) observer(graph.ops[i], values);
      }
      for (const ValueId dead : execution.last_uses(id))
        values[static_cast<size_t>(dead)] = at::Tensor();
    }
    std::vector<at::Tensor> outputs;
    for (const ValueId id : graph.output_values()) {
      outputs.push_back(values[static_cast<size_t>(id)]);
    }
    return outputs;
  }

  std::vector<at::Tensor> run_masked(const std::vector<at::Tensor>& inputs,
                                     const RunObserver& observer) {
    Tensors values = bound_inputs(dense.graph(), inputs);
    for (const auto& parameter : model->parameters) {
      if (parameter.value >= 0) values[static_cast<size_t>(parameter.value)] = parameter.tensor;
    }
    return run(
        dense, values,
        [this](OpRun& op_run, size_t op) {
          if (is_cut[op]) {
            ops[op]->run_masked(op_run);
          } else {
            ops[op]->run_plain(op_run);
          }
        },
        observer);
  }

  std::vector<at::Tensor> run_compact(const std::vector<at::Tensor>& inputs,
                                      const RunObserver& observer) {
    CompactForm& form = compact_form();
    Tensors values = bound_inputs(form.execution().graph(), inputs);
    form.bind(values);
    const auto outputs = run(
        form.execution(), values,
        [&](OpRun& op_run, size_t op) {
          const OpId dense_op = form.compaction().dense_ops[op];
          ops[static_cast<size_t>(dense_op)]->run_plain(op_run);
        },
        observer);
    if (training) form.write_back(values);
    return outputs;
  }

  static Tensors bound_inputs(const Graph& graph, const std::vector<at::Tensor>& inputs) {
    check_inputs(graph, inputs);
    Tensors values(graph.values.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      values[static_cast<size_t>(graph.inputs[i])] = inputs[i];
    }
    return values;
  }

  NamedTensors named(ParameterRole role) const {
    NamedTensors result;
    for (const auto& parameter : model->parameters) {
      if (parameter.role == role) result.emplace_back(parameter.name, parameter.tensor);
    }
    return result;
  }

  std::shared_ptr<const Model> model;
  std::shared_ptr<const Combing> combing;
  Rules rules;
  DynamicOpTable table;
  Keep keep;
  ChannelMasks masks;
  DroppedBlocks blocks;
  Execution dense;
  std::unique_ptr<CompactForm> compact;
  DerivedTensors masked_parameters;
  RunServices services;
  std::vector<std::unique_ptr<DynamicOp>> ops;
  std::vector<bool> is_cut;  ///< ops that see a removed channel
  RunMode mode = RunMode::kMasked;
  bool training = false;
};

DynamicModel::DynamicModel(std::shared_ptr<const Model> model,
                           std::shared_ptr<const Combing> combing, const Rules& rules,
                           const DynamicOpTable& ops)
    : state_(std::make_unique<State>(std::move(model), std::move(combing), rules, ops)) {}
DynamicModel::~DynamicModel() = default;
DynamicModel::DynamicModel(DynamicModel&&) noexcept = default;
DynamicModel& DynamicModel::operator=(DynamicModel&&) noexcept = default;

const Model& DynamicModel::model() const { return *state_->model; }
const Combing& DynamicModel::combing() const { return *state_->combing; }
const Rules& DynamicModel::rules() const { return state_->rules; }
const Keep& DynamicModel::keep() const { return state_->keep; }
const ChannelMasks& DynamicModel::masks() const { return state_->masks; }
const Compaction& DynamicModel::compaction() const { return state_->compact_form().compaction(); }
void DynamicModel::set_mode(RunMode mode) { state_->mode = mode; }
RunMode DynamicModel::mode() const { return state_->mode; }
bool DynamicModel::is_training() const { return state_->training; }

void DynamicModel::set_keep(const Keep& keep) {
  state_->keep = keep;
  state_->masks.set_keep(keep);
  state_->blocks = DroppedBlocks(state_->model->graph, *state_->combing, keep);
  state_->masked_parameters.clear();
  state_->compact.reset();
  state_->find_cut_ops();
}

void DynamicModel::train(bool on) {
  state_->training = on;
  if (!on) return;
  // Slices kept for inference would only take memory now.
  state_->masked_parameters.clear();
  if (state_->compact) state_->compact->forget();
}

std::vector<at::Tensor> DynamicModel::forward(const std::vector<at::Tensor>& inputs,
                                              const RunObserver& observer) {
  return state_->mode == RunMode::kMasked ? state_->run_masked(inputs, observer)
                                          : state_->run_compact(inputs, observer);
}

at::Tensor DynamicModel::forward(const at::Tensor& input) {
  auto outputs = forward(std::vector<at::Tensor>{input});
  if (outputs.size() != 1) {
    throw Error("the network returns " + std::to_string(outputs.size()) + " tensors", {},
                "a network with one output, or a call with a list of inputs");
  }
  return outputs.front();
}

NamedTensors DynamicModel::named_parameters() const {
  return state_->named(ParameterRole::kParameter);
}
NamedTensors DynamicModel::named_buffers() const { return state_->named(ParameterRole::kBuffer); }

std::map<std::string, Gather> DynamicModel::shrink() {
  const Compaction& compaction = state_->compact_form().compaction();
  std::map<std::string, Gather> cuts;
  for (const auto& parameter : state_->model->parameters) {
    const auto how = compaction.gathers.find(parameter.value);
    if (parameter.value >= 0 && how != compaction.gathers.end()) cuts[parameter.name] = how->second;
  }
  auto model = std::make_shared<const Model>(compact_model(*state_->model, compaction));
  CombOptions options;
  options.rules = &state_->rules;
  options.blocks = !state_->combing->blocks.empty();
  auto combing = std::make_shared<const Combing>(comb(*model, options));
  auto next = std::make_unique<State>(model, combing, state_->rules, state_->table);
  next->mode = state_->mode;
  next->training = state_->training;
  state_ = std::move(next);
  return cuts;
}

MutableChannelContainer DynamicModel::channels(const std::string& layer,
                                               const std::string& port) const {
  for (const auto& named : layers_of(*state_->model, state_->ops)) {
    if (named.path != layer) continue;
    for (const auto& candidate : named.text.ports) {
      if (candidate.name == port)
        return {*state_->model, *state_->combing, state_->keep, candidate};
    }
    throw Error("layer '" + layer + "' has no channels '" + port + "'");
  }
  throw Error("the network has no layer '" + layer + "' with channels");
}

std::string DynamicModel::text(int indent) const {
  return architecture_text(*state_->model, *state_->combing, state_->keep,
                           layers_of(*state_->model, state_->ops), indent);
}

std::ostream& operator<<(std::ostream& out, const DynamicModel& model) {
  return out << model.text();
}

}  // namespace cpd
