#include <cpd/comb/residual_blocks.h>
#include <cpd/cost/cost.h>
#include <cpd/cost/peak_memory.h>

#include <algorithm>

namespace cpd {
namespace {

/// Shapes of the values of a graph.
std::vector<int64_t> bytes_of_values(const Graph& graph, const ShapeOf& shape) {
  std::vector<int64_t> bytes;
  for (size_t i = 0; i < graph.values.size(); ++i) {
    bytes.push_back(element_count(shape(static_cast<ValueId>(i))) *
                    bytes_of(graph.values[i].dtype));
  }
  return bytes;
}

int64_t macs_of(const Graph& graph, const std::vector<OpId>& ops, const ShapeOf& shape) {
  int64_t total = 0;
  for (OpId op : ops) total += op_macs(graph.op(op), shape);
  return total;
}

std::vector<OpId> products_of(const Graph& graph) {
  std::vector<OpId> products;
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    if (op_macs(graph, graph.ops[i]) > 0) products.push_back(static_cast<OpId>(i));
  }
  return products;
}

/// Parameters and bytes of the model's table, given the shape of what the graph reads; entries that
/// are `gone` count nothing.
void add_weights(const Model& model, const ShapeOf& shape, const std::vector<bool>& gone,
                 Cost& cost) {
  for (size_t i = 0; i < model.parameters.size(); ++i) {
    if (i < gone.size() && gone[i]) continue;
    const Parameter& entry = model.parameters[i];
    const int64_t elements =
        entry.value < 0 ? entry.tensor.numel() : element_count(shape(entry.value));
    if (entry.role == ParameterRole::kParameter) cost.parameters += elements;
    cost.weight_bytes += elements * static_cast<int64_t>(entry.tensor.element_size());
  }
}

}  // namespace

int64_t batch_of(const Model& model) {
  if (model.graph.inputs.empty()) return 1;
  const Shape& input = model.graph.value(model.graph.inputs.front()).shape;
  const auto dim = static_cast<size_t>(model.free.batch_dim);
  return dim < input.size() ? std::max<int64_t>(1, input[dim]) : 1;
}

Cost cost_of(const Model& model, const Compaction& compaction) {
  const Graph& graph = compaction.graph;
  const ShapeOf shape = [&](ValueId value) { return graph.value(value).shape; };
  const int64_t batch = batch_of(model);
  Cost cost;
  cost.macs = macs_of(graph, products_of(graph), shape) / batch;
  cost.activation_bytes = Lifetimes(graph).peak(bytes_of_values(graph, shape)) / batch;
  add_weights(model, shape, compaction.dropped, cost);
  return cost;
}

struct CostModel::State {
  const Model* model;
  const Combing* combing;
  int64_t batch;
  std::vector<OpId> products;  ///< ops that have MACs
  Lifetimes lifetimes;
};

CostModel::CostModel(const Model& model, const Combing& combing)
    : state_(std::make_unique<State>(State{&model, &combing, batch_of(model),
                                           products_of(model.graph), Lifetimes(model.graph)})) {}

CostModel::~CostModel() = default;

std::vector<OpCost> CostModel::by_op(const Keep& keep) const {
  const KeptSizes sizes(*state_->combing, keep);
  const Graph& graph = state_->model->graph;
  const DroppedBlocks blocks(graph, *state_->combing, keep);
  const ShapeOf shape = [&](ValueId value) { return sizes.shape(graph, value); };
  std::vector<OpCost> costs;
  for (OpId op : state_->products) {
    if (!blocks.has(op)) costs.push_back({op, op_macs(graph.op(op), shape) / state_->batch});
  }
  return costs;
}

Cost CostModel::of(const Keep& keep) const {
  const KeptSizes sizes(*state_->combing, keep);
  const Graph& graph = state_->model->graph;
  const DroppedBlocks blocks(graph, *state_->combing, keep);
  const ShapeOf shape = [&](ValueId value) { return sizes.shape(graph, value); };
  std::vector<OpId> products = state_->products;
  products.erase(
      std::remove_if(products.begin(), products.end(), [&](OpId op) { return blocks.has(op); }),
      products.end());
  Cost cost;
  cost.macs = macs_of(graph, products, shape) / state_->batch;
  const auto bytes = bytes_of_values(graph, shape);
  const int64_t peak =
      blocks.any() ? Lifetimes(blocks.rest()).peak(bytes) : state_->lifetimes.peak(bytes);
  cost.activation_bytes = peak / state_->batch;
  add_weights(*state_->model, shape, blocks.parameters(*state_->model), cost);
  return cost;
}

Cost CostModel::dense() const { return of(Keep(*state_->combing)); }

}  // namespace cpd
