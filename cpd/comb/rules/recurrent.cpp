#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>
#include <cpd/core/error.h>

namespace cpd {
namespace {

/// Labels of a hidden width, of an input's features: extents {n} or none.
using Vector = LabelArray;

/// The weights of one direction of one layer; -1: there is none.
struct CellWeights {
  ValueId input = -1, hidden = -1, input_bias = -1, hidden_bias = -1;
  ValueId projection = -1;
};

/// The states before a step; for GRU and plain cells there is no `cell`.
struct CellStates {
  Vector hidden, cell;
};

/// One dimension's array, made constant over all others.
Vector vector_of(RuleContext& rule, const Labels& labels, int dim) {
  const LabelArray array =
      rules::aligned_over_rows(rule, labels, dim).dims[static_cast<size_t>(dim)];
  if (array.none()) return {};
  const auto extent = static_cast<int64_t>(array.entries.size());
  return widened({{extent}, array.entries}, 0, labels.shape[static_cast<size_t>(dim)]);
}

/// Hidden units of a weight or bias whose dimension 0 is (gates, units).
Vector units_of(RuleContext& rule, ValueId value, int64_t gates, Role role) {
  rule.role(value, 0, role);
  Labels labels = rule.align_others(rule.labels(value), 0);
  if (gates == 1) return vector_of(rule, labels, 0);
  labels = rule.split(labels, 0, gates, labels.shape[0] / gates);
  rule.lock(labels.dims[0], "gates of a recurrent cell");
  return vector_of(rule, labels, 1);
}

Vector features_of(RuleContext& rule, ValueId weight) {
  rule.role(weight, 1, Role::kReader);
  return vector_of(rule, rule.labels(weight), 1);
}

/// LibTorch takes a projected state for a plain one if it is as wide as the cell: more units than
/// the projection has stay.
void keep_wider(RuleContext& rule, const Vector& units, int64_t projected) {
  if (units.none()) return;
  Vector first{{projected + 1}, units.entries};
  first.entries.resize(static_cast<size_t>(projected + 1));
  rule.lock(first, "a projected state stays narrower than its cell");
}

/// Ties the units of all gates, the state and the reader side; returns the new states.
CellStates comb_cell(RuleContext& rule, const CellWeights& weights, int64_t gates,
                     const Vector& input, const CellStates& before) {
  rule.unify(features_of(rule, weights.input), input);
  const Vector units = units_of(rule, weights.input, gates, Role::kWriter);
  rule.unify(units, units_of(rule, weights.hidden, gates, Role::kWriter));
  for (ValueId bias : {weights.input_bias, weights.hidden_bias}) {
    if (bias >= 0) rule.unify(units, units_of(rule, bias, gates, Role::kAlong));
  }
  CellStates after{units, {}};
  if (gates == 4) {
    rule.unify(units, before.cell);
    after.cell = units;
  }
  if (weights.projection >= 0) {
    keep_wider(rule, units, rule.shape(weights.projection)[0]);
    rule.unify(units, features_of(rule, weights.projection));
    after.hidden = units_of(rule, weights.projection, 1, Role::kWriter);
  }
  rule.unify(after.hidden, before.hidden);
  rule.unify(after.hidden, features_of(rule, weights.hidden));
  return after;
}

int64_t gates_of(const std::string& kind) {
  if (kind.find("lstm") != std::string::npos) return 4;
  return kind.find("gru") != std::string::npos ? 3 : 1;
}

/// Vectors one after the other along `dim` of an array of the given rank.
LabelArray laid_out(const std::vector<Vector>& vectors, const std::vector<int64_t>& sizes, int rank,
                    int vector_dim, int dim) {
  std::vector<LabelArray> arrays;
  bool any = false;
  for (size_t i = 0; i < vectors.size(); ++i) {
    any = any || !vectors[i].none();
    const LabelArray flat = explicit_along(vectors[i], 1, 0, sizes[i]);
    LabelArray array{Shape(static_cast<size_t>(rank), 1), flat.entries};
    array.extents[static_cast<size_t>(vector_dim)] = sizes[i];
    arrays.push_back(array);
  }
  return any ? concatenated(arrays, dim) : LabelArray{};
}

/// A whole recurrent network: `lstm`, `gru`, `rnn_tanh`, `rnn_relu` on padded sequences.
class Recurrent {
 public:
  explicit Recurrent(RuleContext& rule) : rule_(rule), op_(rule.op()) {
    gates_ = gates_of(op_.kind);
    layers_ = op_.integer("num_layers");
    directions_ = op_.boolean("bidirectional") ? 2 : 1;
    params_ = op_.tensors("params");
    per_cell_ = params_.size() / static_cast<size_t>(layers_ * directions_);
    biases_ = op_.boolean("has_biases");
    states_ = gates_ == 4 ? op_.tensors("hx") : std::vector<ValueId>{op_.tensor("hx")};
  }

  void comb() {
    const Labels x = rule_.labels(op_.tensor("input"));
    const Labels sequence = rules::mixed(rule_, x, {0, 1}, "a recurrent network runs over it");
    Vector input = vector_of(rule_, sequence, 2);
    for (ValueId state : states_) {
      const Labels labels = rule_.labels(state);
      rule_.lock(labels.dims[0], "layers of a recurrent network");
      rule_.lock(labels.dims[1], "the batch of a recurrent network");
    }
    std::vector<CellStates> after;
    for (int64_t layer = 0; layer < layers_; ++layer) {
      std::vector<Vector> outputs;
      for (int64_t direction = 0; direction < directions_; ++direction) {
        const int64_t at = layer * directions_ + direction;
        after.push_back(comb_cell(rule_, weights(at), gates_, input, before(at)));
        outputs.push_back(after.back().hidden);
      }
      input = laid_out(outputs, sizes(states_[0], outputs.size()), 1, 0, 0);
    }
    set_outputs(input, after);
  }

 private:
  CellWeights weights(int64_t at) const {
    const auto first = params_.begin() + at * static_cast<int64_t>(per_cell_);
    CellWeights weights{first[0], first[1]};
    if (biases_) {
      weights.input_bias = first[2];
      weights.hidden_bias = first[3];
    }
    const size_t plain = biases_ ? 4 : 2;
    if (per_cell_ > plain) weights.projection = first[static_cast<int64_t>(plain)];
    return weights;
  }

  /// The state of one layer and direction.
  Vector state(ValueId value, int64_t at) {
    Labels labels = rule_.labels(value);
    if (labels.dims[2].varies(1)) labels.dims[2] = rule_.align(labels.dims[2], 1);
    return vector_of(rule_, taken(labels, 0, {at}), 2);
  }
  CellStates before(int64_t at) {
    return {state(states_[0], at), gates_ == 4 ? state(states_[1], at) : Vector{}};
  }
  std::vector<int64_t> sizes(ValueId state, size_t count) const {
    return std::vector<int64_t>(count, rule_.shape(state)[2]);
  }

  void set_outputs(const Vector& last, const std::vector<CellStates>& after) {
    Labels sequence = unlabelled(rule_.shape(op_.outputs[0]));
    sequence.dims[2] = laid_out({last}, {sequence.shape[2]}, 3, 2, 2);
    rule_.set(op_.outputs[0], sequence);
    for (size_t s = 0; s < states_.size(); ++s) {
      std::vector<Vector> vectors;
      for (const auto& states : after) vectors.push_back(s == 0 ? states.hidden : states.cell);
      Labels labels = unlabelled(rule_.shape(op_.outputs[s + 1]));
      labels.dims[2] = laid_out(vectors, sizes(states_[s], vectors.size()), 3, 2, 0);
      rule_.set(op_.outputs[s + 1], labels);
    }
  }

  RuleContext& rule_;
  const Op& op_;
  int64_t gates_ = 1, layers_ = 1, directions_ = 1;
  std::vector<ValueId> params_, states_;
  size_t per_cell_ = 0;
  bool biases_ = true;
};

void comb_recurrent(RuleContext& rule) {
  const Op& op = rule.op();
  const bool padded = op.overload == "input" && rule.shape(op.tensor("input")).size() == 3;
  if (!padded) return rules::lock_operands(rule, "a recurrent network over packed sequences");
  Recurrent(rule).comb();
}

/// One step of a cell.
void comb_single_cell(RuleContext& rule) {
  const Op& op = rule.op();
  const Labels x = rule.labels(op.tensor("input"));
  if (x.rank() != 2) return rules::lock_operands(rule, "a recurrent cell without a batch");
  const int64_t gates = gates_of(op.kind);
  const auto states = gates == 4 ? op.tensors("hx") : std::vector<ValueId>{op.tensor("hx")};
  const CellWeights weights{op.tensor("w_ih"), op.tensor("w_hh"), op.tensor("b_ih"),
                            op.tensor("b_hh")};
  CellStates before{vector_of(rule, rule.labels(states[0]), 1), {}};
  if (gates == 4) before.cell = vector_of(rule, rule.labels(states[1]), 1);
  const CellStates after = comb_cell(rule, weights, gates, vector_of(rule, x, 1), before);
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    Labels labels = unlabelled(rule.shape(op.outputs[i]));
    labels.dims[1] = laid_out({i == 0 ? after.hidden : after.cell}, {labels.shape[1]}, 2, 1, 1);
    rule.set(op.outputs[i], labels);
  }
}

}  // namespace

void add_recurrent_rules(Rules& rules) {
  rules.add_all({"aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"}, {comb_recurrent});
  rules.add_all({"aten::lstm_cell", "aten::gru_cell", "aten::rnn_tanh_cell", "aten::rnn_relu_cell"},
                {comb_single_cell});
}

}  // namespace cpd
