#include <cpd/comb/residual_blocks.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/cost/kept_size.h>
#include <cpd/cost/peak_memory.h>

#include <algorithm>
#include <numeric>
#include <optional>

namespace cpd {
namespace {

using Widths = std::vector<int64_t>;

/// Everything that changes with the width of a group, in the order in which to count again.
struct Touched {
  std::vector<int> arrays;
  std::vector<ValueId> values;
  std::vector<size_t> products;
  std::vector<size_t> weights;
  std::vector<OpId> ops;
};

struct Product {
  OpId op = -1;
  int64_t macs = 0;
};

struct Weight {
  size_t entry = 0;    ///< of the model's table
  ValueId value = -1;  ///< -1: no op reads it, its size never changes
  int64_t element_size = 0;
  bool parameter = false;
  int64_t elements = 0;
};

Keep random_keep(const Combing& combing, uint64_t seed) {
  Random random(seed);
  Keep keep(combing);
  for (const auto& group : combing.groups) {
    const int64_t removed = random.below(group.of);
    for (const auto& block : group.blocks) {
      const auto order = permutation(group.of, random.next());
      for (int64_t i = 0; i < removed; ++i) {
        keep.set(block[static_cast<size_t>(order[static_cast<size_t>(i)])], false);
      }
    }
  }
  return keep;
}

Widths widths_of(const Combing& combing, const Keep& keep) {
  Widths widths;
  for (const auto& group : combing.groups) {
    const auto& block = group.blocks.front();
    widths.push_back(
        std::count_if(block.begin(), block.end(), [&](Primitive p) { return keep.kept(p); }));
  }
  return widths;
}

}  // namespace

struct CostsByWidth::State {
  State(const Model& network, const Combing& combed);

  void update(const Widths& widths);
  void drop_blocks();
  void count_again(const Touched& changes);
  Shape shape_now(ValueId value) const;
  bool regular() const;

  const Model& model;
  const Combing& combing;
  Lifetimes lifetimes;
  std::vector<bool> gone_ops;      ///< with dropped blocks; empty: none
  std::vector<bool> gone_entries;  ///< of the model's table; empty: none
  int64_t batch = 1;
  Widths dense;
  Widths current;
  std::vector<KeptSize> sizes;       ///< by array
  std::vector<int64_t> kept;         ///< by array, now
  std::vector<Shape> shapes;         ///< by value, now
  std::vector<int64_t> value_bytes;  ///< by value, now
  std::vector<Product> products;
  std::vector<Weight> weights;
  std::vector<Touched> touched;  ///< by group
  Touched everything;
  LatencyTable latencies;
  std::vector<double> seconds;  ///< by op, now; empty without a table
  bool polynomial = true;       ///< sizes depend on widths alone
  int64_t macs = 0;             ///< of the whole batch
  int64_t parameters = 0;
  int64_t weight_bytes = 0;
  std::optional<int64_t> peak;  ///< of the whole batch; counted when asked for
};

namespace {

/// For each group the things that depend on it, given each thing's groups.
class GroupsOf {
 public:
  GroupsOf(const Combing& combing, const std::vector<KeptSize>& sizes)
      : combing_(combing), sizes_(sizes) {}

  std::vector<int32_t> value(ValueId value) const {
    std::vector<int32_t> groups;
    for (int array : combing_.dims[static_cast<size_t>(value)]) {
      if (array < 0) continue;
      const auto& own = sizes_[static_cast<size_t>(array)].groups();
      groups.insert(groups.end(), own.begin(), own.end());
    }
    return unique(std::move(groups));
  }
  std::vector<int32_t> op(const Op& op) const {
    std::vector<int32_t> groups;
    auto values = op.operands();
    values.insert(values.end(), op.outputs.begin(), op.outputs.end());
    for (ValueId id : values) {
      const auto own = value(id);
      groups.insert(groups.end(), own.begin(), own.end());
    }
    return unique(std::move(groups));
  }

 private:
  static std::vector<int32_t> unique(std::vector<int32_t> groups) {
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    return groups;
  }

  const Combing& combing_;
  const std::vector<KeptSize>& sizes_;
};

}  // namespace

CostsByWidth::State::State(const Model& network, const Combing& combed)
    : model(network),
      combing(combed),
      lifetimes(network.graph),
      batch(batch_of(network)),
      touched(combed.groups.size()) {
  for (const auto& group : combing.groups) dense.push_back(group.of);
  current = dense;
  for (const auto& array : combing.arrays) sizes.emplace_back(combing, array);
  for (const auto& size : sizes) kept.push_back(size.at(current));
  polynomial = regular();
  const GroupsOf groups(combing, sizes);
  const auto note = [&](const std::vector<int32_t>& of, auto member, auto item) {
    (everything.*member).push_back(item);
    for (int32_t group : of) (touched[static_cast<size_t>(group)].*member).push_back(item);
  };
  for (size_t i = 0; i < sizes.size(); ++i) {
    note(sizes[i].groups(), &Touched::arrays, static_cast<int>(i));
  }
  const Graph& graph = model.graph;
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const auto id = static_cast<ValueId>(i);
    shapes.push_back(shape_now(id));
    value_bytes.push_back(element_count(shapes[i]) * bytes_of(graph.values[i].dtype));
    note(groups.value(id), &Touched::values, id);
  }
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    const auto own = groups.op(graph.ops[i]);
    note(own, &Touched::ops, static_cast<OpId>(i));
    const int64_t now = op_macs(graph, graph.ops[i]);
    if (now == 0) continue;
    note(own, &Touched::products, products.size());
    products.push_back({static_cast<OpId>(i), now});
    macs += now;
  }
  for (size_t i = 0; i < model.parameters.size(); ++i) {
    const Parameter& entry = model.parameters[i];
    const Weight weight{i, entry.value, static_cast<int64_t>(entry.tensor.element_size()),
                        entry.role == ParameterRole::kParameter, entry.tensor.numel()};
    if (weight.parameter) parameters += weight.elements;
    weight_bytes += weight.elements * weight.element_size;
    const auto own = entry.value < 0 ? std::vector<int32_t>() : groups.value(entry.value);
    note(own, &Touched::weights, weights.size());
    weights.push_back(weight);
  }
}

Shape CostsByWidth::State::shape_now(ValueId value) const {
  Shape shape = model.graph.value(value).shape;
  const auto& arrays = combing.dims[static_cast<size_t>(value)];
  for (size_t d = 0; d < shape.size(); ++d) {
    if (arrays[d] >= 0) shape[d] = kept[static_cast<size_t>(arrays[d])];
  }
  return shape;
}

/// Do the polynomials give what is kept of each array, whichever channels go?
bool CostsByWidth::State::regular() const {
  constexpr uint64_t kTrials = 3;
  for (uint64_t seed = 0; seed < kTrials; ++seed) {
    const Keep keep = random_keep(combing, seed);
    const KeptSizes counted(combing, keep);
    const Widths widths = widths_of(combing, keep);
    for (size_t i = 0; i < sizes.size(); ++i) {
      try {
        if (counted.of_array(static_cast<int>(i)) != sizes[i].at(widths)) return false;
      } catch (const Error&) {
        return false;
      }
    }
  }
  return true;
}

void CostsByWidth::State::count_again(const Touched& changes) {
  for (ValueId value : changes.values) {
    const auto i = static_cast<size_t>(value);
    const auto& arrays = combing.dims[i];
    for (size_t d = 0; d < arrays.size(); ++d) {
      if (arrays[d] >= 0) shapes[i][d] = kept[static_cast<size_t>(arrays[d])];
    }
    value_bytes[i] = element_count(shapes[i]) * bytes_of(model.graph.values[i].dtype);
  }
  const ShapeOf shape = [&](ValueId value) { return shapes[static_cast<size_t>(value)]; };
  const auto gone = [&](OpId op) { return !gone_ops.empty() && gone_ops[static_cast<size_t>(op)]; };
  for (size_t i : changes.products) {
    const int64_t now = gone(products[i].op) ? 0 : op_macs(model.graph.op(products[i].op), shape);
    macs += now - products[i].macs;
    products[i].macs = now;
  }
  for (size_t i : changes.weights) {
    Weight& weight = weights[i];
    int64_t now = weight.value < 0 ? model.parameters[weight.entry].tensor.numel()
                                   : element_count(shapes[static_cast<size_t>(weight.value)]);
    if (!gone_entries.empty() && gone_entries[weight.entry]) now = 0;
    if (weight.parameter) parameters += now - weight.elements;
    weight_bytes += (now - weight.elements) * weight.element_size;
    weight.elements = now;
  }
  if (seconds.empty()) return;
  for (OpId op : changes.ops) {
    const auto i = static_cast<size_t>(op);
    seconds[i] = gone(op) ? 0 : latencies.ops[i].seconds(op_work(model.graph.ops[i], shape));
  }
}

/// Takes out what the present widths drop.
void CostsByWidth::State::drop_blocks() {
  const DroppedBlocks blocks(model.graph, combing, prefix_keep(combing, current));
  gone_ops.assign(model.graph.ops.size(), false);
  for (size_t i = 0; i < gone_ops.size(); ++i) gone_ops[i] = blocks.has(static_cast<OpId>(i));
  gone_entries = blocks.parameters(model);
  lifetimes = Lifetimes(blocks.rest());
  count_again(everything);
}

void CostsByWidth::State::update(const Widths& widths) {
  if (widths.size() != dense.size()) {
    throw Error(std::to_string(widths.size()) + " widths", {},
                std::to_string(dense.size()) + ", one for each group");
  }
  std::vector<size_t> changed;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (widths[i] != current[i]) changed.push_back(i);
  }
  if (changed.empty()) return;
  current = widths;
  peak.reset();
  if (!polynomial) {
    const KeptSizes counted(combing, prefix_keep(combing, widths));
    for (size_t i = 0; i < kept.size(); ++i) kept[i] = counted.of_array(static_cast<int>(i));
    if (!combing.blocks.empty()) return drop_blocks();
    return count_again(everything);
  }
  for (size_t group : changed) {
    for (int array : touched[group].arrays) {
      kept[static_cast<size_t>(array)] = sizes[static_cast<size_t>(array)].at(current);
    }
  }
  for (size_t group : changed) count_again(touched[group]);
  const bool any_block = std::any_of(changed.begin(), changed.end(), [&](size_t group) {
    return combing.groups[group].kind == UnitKind::kBlocks;
  });
  if (any_block) drop_blocks();
}

CostsByWidth::CostsByWidth(const Model& model, const Combing& combing)
    : state_(std::make_unique<State>(model, combing)) {}

CostsByWidth::~CostsByWidth() = default;

const Widths& CostsByWidth::dense_widths() const { return state_->dense; }

int64_t CostsByWidth::macs(const Widths& widths) {
  state_->update(widths);
  return state_->macs / state_->batch;
}

int64_t CostsByWidth::parameters(const Widths& widths) {
  state_->update(widths);
  return state_->parameters;
}

int64_t CostsByWidth::memory(const Widths& widths, int64_t batch) {
  return of(widths).memory(batch);
}

int64_t CostsByWidth::channels(const Widths& widths) const {
  int64_t total = 0;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (state_->combing.groups[i].kind == UnitKind::kBlocks) continue;
    total += widths[i] * static_cast<int64_t>(state_->combing.groups[i].blocks.size());
  }
  return total;
}

void CostsByWidth::set_latency_table(const LatencyTable& table) {
  table.verify();
  table.check(state_->model.graph);
  state_->latencies = table;
  state_->seconds.assign(table.ops.size(), 0);
  state_->count_again(state_->everything);
}

double CostsByWidth::latency(const Widths& widths) {
  if (state_->latencies.ops.empty()) throw Error("there is no latency table", {}, "a measured one");
  state_->update(widths);
  return std::accumulate(state_->seconds.begin(), state_->seconds.end(), 0.0);
}

Cost CostsByWidth::of(const Widths& widths) {
  state_->update(widths);
  if (!state_->peak) state_->peak = state_->lifetimes.peak(state_->value_bytes);
  return {state_->macs / state_->batch, state_->parameters, state_->weight_bytes,
          *state_->peak / state_->batch};
}

Keep prefix_keep(const Combing& combing, const Widths& widths) {
  Keep keep(combing);
  for (size_t g = 0; g < combing.groups.size(); ++g) {
    for (const auto& block : combing.groups[g].blocks) {
      for (size_t i = static_cast<size_t>(widths[g]); i < block.size(); ++i) {
        keep.set(block[i], false);
      }
    }
  }
  return keep;
}

}  // namespace cpd
