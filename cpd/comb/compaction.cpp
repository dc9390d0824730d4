#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <cpd/comb/compaction.h>
#include <cpd/comb/constants.h>
#include <cpd/comb/residual_blocks.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <numeric>

namespace cpd {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values, const at::Tensor& like) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::kLong).to(like.device());
}

/// Kept positions of an array in each row: rows by the other dimensions, row-major.
std::vector<std::vector<int64_t>> kept_rows(const FormArray& array,
                                            const std::vector<uint8_t>& forms) {
  const int64_t own = array.extents[static_cast<size_t>(array.dim)];
  int64_t inner = 1;
  for (size_t d = static_cast<size_t>(array.dim) + 1; d < array.extents.size(); ++d) {
    inner *= array.extents[d];
  }
  std::vector<std::vector<int64_t>> rows(array.entries.size() / static_cast<size_t>(own));
  for (size_t row = 0; row < rows.size(); ++row) {
    const auto r = static_cast<int64_t>(row);
    const int64_t base = (r / inner) * own * inner + r % inner;
    for (int64_t k = 0; k < own; ++k) {
      const auto form = array.entries[static_cast<size_t>(base + k * inner)];
      if (forms[static_cast<size_t>(form)]) rows[row].push_back(k);
    }
  }
  return rows;
}

const std::vector<int64_t>& first_kept(const std::vector<std::vector<int64_t>>& rows) {
  for (const auto& row : rows) {
    if (!row.empty()) return row;
  }
  return rows.front();
}

/// Positions of all kept elements when rows keep positions of their own.
void gather_flat(Gather& gather, const Combing& combing, const std::vector<int>& arrays,
                 const std::vector<uint8_t>& forms) {
  const auto rank = static_cast<int>(gather.dense.size());
  at::Tensor mask = at::ones(gather.dense, at::kBool);
  std::vector<std::vector<int>> before(gather.dense.size());
  for (int d = 0; d < rank; ++d) {
    if (arrays[static_cast<size_t>(d)] < 0) continue;
    const auto& array = combing.arrays[static_cast<size_t>(arrays[static_cast<size_t>(d)])];
    std::vector<int64_t> kept;
    for (int32_t form : array.entries) kept.push_back(forms[static_cast<size_t>(form)]);
    mask = mask.logical_and(
        at::tensor(at::ArrayRef<int64_t>(kept), at::kLong).to(at::kBool).view(array.extents));
    for (int i = 0; i < rank; ++i) {
      if (i != d && array.varies(i)) before[static_cast<size_t>(d)].push_back(i);
    }
  }
  std::vector<int64_t> order, sizes, back(gather.dense.size());
  std::vector<bool> done(gather.dense.size(), false);
  while (order.size() < gather.dense.size()) {
    const size_t placed = order.size();
    for (int d = 0; d < rank; ++d) {
      const auto& needs = before[static_cast<size_t>(d)];
      const bool ready = std::all_of(needs.begin(), needs.end(),
                                     [&](int i) { return done[static_cast<size_t>(i)]; });
      if (done[static_cast<size_t>(d)] || !ready) continue;
      done[static_cast<size_t>(d)] = true;
      back[static_cast<size_t>(d)] = static_cast<int64_t>(order.size());
      order.push_back(d);
      sizes.push_back(gather.compact[static_cast<size_t>(d)]);
    }
    if (order.size() == placed) throw Error("rows and columns of a tensor steer each other");
  }
  const int64_t count = mask.numel();
  const at::Tensor positions = at::arange(count, at::kLong).view(gather.dense).permute(order);
  const at::Tensor flat = positions.masked_select(mask.permute(order));
  const int64_t expected =
      std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
  if (flat.numel() != expected) throw Error("what is kept of a tensor is no rectangle");
  const at::Tensor result = flat.view(sizes).permute(back).contiguous().view(-1);
  gather.flat.assign(result.data_ptr<int64_t>(), result.data_ptr<int64_t>() + result.numel());
}

class Rewriter : public RewriteContext {
 public:
  Rewriter(const Graph& dense, const Combing& combing, const KeptSizes& sizes,
           ConstantValues& constants, Compaction& result)
      : dense_(dense), combing_(combing), sizes_(sizes), constants_(constants), result_(result) {}

  void start(OpId id, Op op) {
    current_ = id;
    dense_op_ = std::move(op);
    for (auto& arg : dense_op_.args) pin(arg.value);
    op_ = dense_op_;
  }
  Op take() { return std::move(op_); }
  /// Size expressions of the output structure and the like.
  Expr pinned(const Expr& expr) const {
    return expr.map_leaves([this](const Expr& leaf) {
      const bool owned =
          leaf.kind() == Expr::Kind::kSize && shrinks(leaf.size_value(), leaf.size_dim());
      return owned ? Expr::constant(leaf.dense()) : leaf;
    });
  }

  const Graph& dense() const override { return dense_; }
  const Op& dense_op() const override { return dense_op_; }
  Op& op() override { return op_; }
  int64_t size(ValueId value, int dim) const override {
    const int array = array_of(value, dim);
    return array < 0 ? dense_.value(value).shape[static_cast<size_t>(dim)] : sizes_.of_array(array);
  }
  int64_t count(ValueId value, int dim, int64_t begin, int64_t end) const override {
    const int array = array_of(value, dim);
    if (array < 0) return end - begin;
    const auto rows = kept_rows(combing_.arrays[static_cast<size_t>(array)], sizes_.forms());
    return std::count_if(first_kept(rows).begin(), first_kept(rows).end(),
                         [&](int64_t at) { return at >= begin && at < end; });
  }
  std::vector<int64_t> kept(ValueId value, int dim) const override {
    return kept_positions(array_of(value, dim),
                          dense_.value(value).shape[static_cast<size_t>(dim)]);
  }
  int64_t recorded_size(const std::string& key, int dim) const override {
    const auto& record = combing_.records[static_cast<size_t>(current_)].at(key);
    const int array = record.dims[static_cast<size_t>(dim)];
    return array < 0 ? record.shape[static_cast<size_t>(dim)] : sizes_.of_array(array);
  }
  std::vector<int64_t> recorded_kept(const std::string& key, int dim) const override {
    const auto& record = combing_.records[static_cast<size_t>(current_)].at(key);
    return kept_positions(record.dims[static_cast<size_t>(dim)],
                          record.shape[static_cast<size_t>(dim)]);
  }
  at::Tensor constant(ValueId value) const override {
    const bool table = dense_.value(value).kind == ValueKind::kParameter;
    const bool known = table || combing_.folded[static_cast<size_t>(value)];
    return known ? constants_(value) : at::Tensor();
  }
  ValueId index_constant(const std::vector<int64_t>& values) override {
    Value value;
    value.name = "CONSTANTS.index_" + std::to_string(result_.constants.size());
    value.kind = ValueKind::kParameter;
    value.dtype = DType::kInt64;
    value.shape = {static_cast<int64_t>(values.size())};
    const ValueId id = result_.graph.add_value(std::move(value));
    result_.constants[id] = at::tensor(at::ArrayRef<int64_t>(values), at::kLong);
    return id;
  }

 private:
  int array_of(ValueId value, int dim) const {
    return combing_.dims[static_cast<size_t>(value)][static_cast<size_t>(dim)];
  }
  std::vector<int64_t> kept_positions(int array, int64_t extent) const {
    if (array < 0) {
      std::vector<int64_t> all(static_cast<size_t>(extent));
      std::iota(all.begin(), all.end(), 0);
      return all;
    }
    const auto rows = kept_rows(combing_.arrays[static_cast<size_t>(array)], sizes_.forms());
    for (const auto& row : rows) {
      if (!row.empty() && row != first_kept(rows)) {
        throw Error("kept positions differ between rows",
                    {dense_op_.kind, dense_op_.where.text(), ""});
      }
    }
    return first_kept(rows);
  }
  void pin(Arg& arg) const {
    if (auto* expr = std::get_if<Expr>(&arg)) *expr = pinned(*expr);
    if (auto* list = std::get_if<std::vector<Expr>>(&arg)) {
      for (auto& expr : *list) expr = pinned(expr);
    }
  }

  const Graph& dense_;
  const Combing& combing_;
  const KeptSizes& sizes_;
  ConstantValues& constants_;
  Compaction& result_;
  OpId current_ = -1;
  Op dense_op_, op_;
};

bool shape_changes(const Graph& graph, const KeptSizes& sizes, ValueId value) {
  return sizes.shape(graph, value) != graph.value(value).shape;
}

/// Ops whose outputs nobody reads go; ids of values stay.
void drop_dead_ops(Compaction& compaction) {
  Graph& graph = compaction.graph;
  std::vector<bool> live(graph.values.size(), false);
  for (ValueId output : graph.output_values()) live[static_cast<size_t>(output)] = true;
  const auto mark_sizes = [&](ValueId value, int) { live[static_cast<size_t>(value)] = true; };
  std::vector<bool> needed(graph.ops.size(), false);
  for (size_t i = graph.ops.size(); i-- > 0;) {
    const Op& op = graph.ops[i];
    needed[i] = std::any_of(op.outputs.begin(), op.outputs.end(),
                            [&](ValueId v) { return live[static_cast<size_t>(v)]; });
    if (!needed[i]) continue;
    for (ValueId operand : op.operands()) live[static_cast<size_t>(operand)] = true;
    for (const auto& arg : op.args) {
      if (const auto* expr = std::get_if<Expr>(&arg.value)) expr->for_each_size(mark_sizes);
      if (const auto* list = std::get_if<std::vector<Expr>>(&arg.value)) {
        for (const auto& expr : *list) expr.for_each_size(mark_sizes);
      }
    }
  }
  std::vector<Op> ops;
  std::vector<OpId> dense_ops;
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    if (!needed[i]) {
      for (ValueId output : graph.ops[i].outputs)
        graph.values[static_cast<size_t>(output)].producer = -1;
      continue;
    }
    for (ValueId output : graph.ops[i].outputs) {
      graph.values[static_cast<size_t>(output)].producer = static_cast<OpId>(ops.size());
    }
    ops.push_back(std::move(graph.ops[i]));
    dense_ops.push_back(compaction.dense_ops[i]);
  }
  graph.ops = std::move(ops);
  compaction.dense_ops = std::move(dense_ops);
}

void pin_output_numbers(Output& output, const Rewriter& rewriter) {
  if (output.kind == Output::Kind::kNumber) output.number = rewriter.pinned(output.number);
  for (auto& item : output.items) pin_output_numbers(item, rewriter);
}

/// Folded constants that shrink are stored cut instead of being computed from whole buffers.
bool store_folded(const Model& model, const Combing& combing, const KeptSizes& sizes, const Op& op,
                  ConstantValues& constants, Compaction& result) {
  if (op.outputs.empty() || !combing.folded[static_cast<size_t>(op.outputs.front())]) return false;
  const bool shrinks = std::any_of(op.outputs.begin(), op.outputs.end(), [&](ValueId output) {
    return shape_changes(model.graph, sizes, output);
  });
  if (!shrinks) return false;
  for (ValueId output : op.outputs) {
    Value& value = result.graph.values[static_cast<size_t>(output)];
    value.kind = ValueKind::kParameter;
    value.producer = -1;
    value.name = "CONSTANTS.folded_" + std::to_string(output);
    result.constants[output] =
        gather(constants(output), gather_of(model.graph, combing, sizes, output));
  }
  return true;
}

}  // namespace

at::Tensor gather(const at::Tensor& dense, const Gather& gather) {
  if (!gather.flat.empty()) {
    return dense.reshape({-1})
        .index_select(0, index_tensor(gather.flat, dense))
        .view(gather.compact);
  }
  at::Tensor result = dense;
  for (size_t d = 0; d < gather.dims.size(); ++d) {
    if (!gather.dims[d]) continue;
    result = result.index_select(static_cast<int64_t>(d), index_tensor(*gather.dims[d], dense));
  }
  return result;
}

at::Tensor scatter(const at::Tensor& dense, const at::Tensor& compact, const Gather& gather) {
  at::Tensor flat;
  if (!gather.flat.empty()) {
    flat = index_tensor(gather.flat, dense);
  } else {
    at::Tensor positions =
        at::arange(dense.numel(), at::kLong).view(dense.sizes()).to(dense.device());
    Gather same = gather;
    flat = cpd::gather(positions, same).reshape({-1});
  }
  return dense.reshape({-1}).index_copy(0, flat, compact.reshape({-1})).view(dense.sizes());
}

Gather gather_of(const Graph& graph, const Combing& combing, const KeptSizes& sizes,
                 ValueId value) {
  return gather_of(graph.value(value).shape, combing, sizes, value);
}

Gather gather_of(const Shape& shape, const Combing& combing, const KeptSizes& sizes,
                 ValueId value) {
  Gather gather;
  gather.dense = shape;
  gather.compact = shape;
  gather.dims.resize(shape.size());
  const auto& arrays = combing.dims[static_cast<size_t>(value)];
  for (size_t d = 0; d < arrays.size(); ++d) {
    if (arrays[d] >= 0) gather.compact[d] = sizes.of_array(arrays[d]);
  }
  for (size_t d = 0; d < arrays.size(); ++d) {
    if (gather.dense[d] == gather.compact[d]) continue;
    const auto& array = combing.arrays[static_cast<size_t>(arrays[d])];
    const auto rows = kept_rows(array, sizes.forms());
    const bool same = std::all_of(rows.begin(), rows.end(), [&](const auto& row) {
      return row.empty() || row == first_kept(rows);
    });
    if (!same) {
      gather_flat(gather, combing, arrays, sizes.forms());
      return gather;
    }
    gather.dims[d] = first_kept(rows);
  }
  return gather;
}

Compaction compact(const Model& model, const Combing& combing, const Keep& keep,
                   const Rules& rules) {
  const KeptSizes sizes(combing, keep);
  const DroppedBlocks blocks(model.graph, combing, keep);
  Compaction result;
  result.graph.values = model.graph.values;
  result.graph.inputs = model.graph.inputs;
  result.graph.output = blocks.resolved(model.graph.output);
  if (blocks.any()) result.dropped = blocks.parameters(model);
  for (size_t v = 0; v < model.graph.values.size(); ++v) {
    result.graph.values[v].shape = sizes.shape(model.graph, static_cast<ValueId>(v));
  }
  ConstantValues constants(model);
  Rewriter rewriter(model.graph, combing, sizes, constants, result);
  for (size_t i = 0; i < model.graph.ops.size(); ++i) {
    const auto id = static_cast<OpId>(i);
    const Op& op = model.graph.ops[i];
    if (blocks.has(id)) {
      for (ValueId output : op.outputs)
        result.graph.values[static_cast<size_t>(output)].producer = -1;
      continue;
    }
    if (store_folded(model, combing, sizes, op, constants, result)) continue;
    rewriter.start(id, blocks.resolved(op));
    const Rule* rule = rules.find(op.kind);
    const bool folded = !op.outputs.empty() && combing.folded[static_cast<size_t>(op.outputs[0])];
    if (rule != nullptr && rule->rewrite && !folded) rule->rewrite(rewriter);
    result.graph.add_op(rewriter.take());
    result.dense_ops.push_back(id);
  }
  pin_output_numbers(result.graph.output, rewriter);
  drop_dead_ops(result);
  for (const auto& parameter : model.parameters) {
    if (parameter.value >= 0 && shape_changes(model.graph, sizes, parameter.value)) {
      result.gathers[parameter.value] = gather_of(model.graph, combing, sizes, parameter.value);
    }
  }
  return result;
}

}  // namespace cpd
