#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <cpd/comb/compaction.h>
#include <cpd/comb/constants.h>
#include <cpd/comb/meeting.h>
#include <cpd/comb/residual_blocks.h>
#include <cpd/core/error.h>
#include <cpd/model/execution.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

namespace cpd {
namespace {

[[noreturn]] void refuse(const Op& op, const std::string& problem) {
  throw Error("the plan is refused: " + problem, {op.kind, op.where.text(), ""},
              "a pruned network that computes what the dense one does on the kept channels");
}

/// Visits the values of which an op's arguments read sizes.
void for_each_size_of(const Op& op, const std::function<void(ValueId)>& visit) {
  const auto in = [&](const Expr& expr) {
    expr.for_each_size([&](ValueId value, int) { visit(value); });
  };
  for (const auto& arg : op.args) {
    if (const auto* expr = std::get_if<Expr>(&arg.value)) in(*expr);
    if (const auto* list = std::get_if<std::vector<Expr>>(&arg.value)) {
      for (const auto& expr : *list) in(expr);
    }
  }
}

/// A tensor that has a shape and next to no memory: only its sizes are read.
at::Tensor of_shape(const Shape& shape) { return at::zeros({}, at::kLong).expand(shape); }

/// Checks one compaction; works on position numbers and keep masks, never on weights.
class Certificate {
 public:
  Certificate(const Model& model, const Combing& combing, const Keep& keep,
              const Compaction& compaction, const Rules& rules)
      : dense_(model.graph),
        combing_(combing),
        compaction_(compaction),
        rules_(rules),
        sizes_(combing, keep),
        masks_(dense_, combing, sizes_),
        blocks_(model.graph, combing, keep),
        constants_(model) {}

  void check() {
    check_rectangles();
    check_blocks();
    for (size_t i = 0; i < compaction_.graph.ops.size(); ++i) check_op(static_cast<OpId>(i));
  }

 private:
  bool shrinks(ValueId value) const {
    return sizes_.shape(dense_, value) != dense_.value(value).shape;
  }
  void check_rectangles();
  void check_blocks() const;
  void check_op(OpId op);
  void check_layout(OpId id, const Op& dense, const Op& op);
  void check_reshape(const Op& dense, const Op& op) const;
  std::vector<bool> idle(ValueId value) const;
  std::vector<bool> collapsible(const Op& op) const;
  Shape collapsed(ValueId value, const std::vector<bool>& dims) const;
  at::Tensor positions(const Shape& shape, int64_t base) const;
  at::Tensor cut_down(const at::Tensor& whole, ValueId value) const;
  at::Tensor index_data(ValueId value);

  const Graph& dense_;
  const Combing& combing_;
  const Compaction& compaction_;
  const Rules& rules_;
  KeptSizes sizes_;
  KeepMasks masks_;
  DroppedBlocks blocks_;
  ConstantValues constants_;
  std::unique_ptr<Execution> dense_run_, compact_run_;
};

/// Every value's kept elements form a dense array of the compact shape.
void Certificate::check_rectangles() {
  for (size_t v = 0; v < dense_.values.size(); ++v) {
    const auto value = static_cast<ValueId>(v);
    const Shape shape = sizes_.shape(dense_, value);
    if (std::find(shape.begin(), shape.end(), 0) != shape.end() &&
        dense_.values[v].shape != shape) {
      throw Error("the plan is refused: a dimension of a value would become empty");
    }
    for (int array : combing_.dims[v]) {
      if (array >= 0) sizes_.of_array(array);
    }
  }
}

/// A sum that is gone equals its trunk once the other term is zero, and every op that is left finds
/// its operands.
void Certificate::check_blocks() const {
  for (const auto& [sum, trunk] : blocks_.trunks()) {
    const Op& op = dense_.op(dense_.value(sum).producer);
    const bool added = op.kind == "aten::add" && op.real("alpha") == 1 &&
                       (op.tensor("self") == trunk || op.tensor("other") == trunk);
    const Value &a = dense_.value(sum), &b = dense_.value(trunk);
    if (!added || a.shape != b.shape || a.dtype != b.dtype) {
      refuse(op, "what is left of it is not its sum without a term");
    }
    for (int d = 0; d < static_cast<int>(a.shape.size()); ++d) {
      const at::Tensor kept = masks_.along(sum, d), other = masks_.along(trunk, d);
      if (!at::equal(kept, other)) refuse(op, "its sum and its trunk keep different positions");
    }
  }
  if (!blocks_.any()) return;
  for (const Op& op : compaction_.graph.ops) {
    for (ValueId operand : op.operands()) {
      const Value& value = compaction_.graph.value(operand);
      if (value.kind == ValueKind::kResult && value.producer < 0) {
        refuse(op, "it reads something that a dropped block made");
      }
    }
  }
}

void Certificate::check_op(OpId id) {
  const Op& op = compaction_.graph.op(id);
  const Op dense = blocks_.resolved(dense_.op(compaction_.dense_ops[static_cast<size_t>(id)]));
  const auto touches = [&](const std::vector<ValueId>& values) {
    return std::any_of(values.begin(), values.end(), [&](ValueId v) { return shrinks(v); });
  };
  if (!touches(dense.operands()) && !touches(dense.outputs)) return;
  const Rule* rule = rules_.find(dense.kind);
  if (rule == nullptr) refuse(dense, "an op without a rule meets something that shrinks");
  if (rule->layout || dense.kind != op.kind) return check_layout(id, dense, op);
  check_meeting(dense, masks_);
}

/// Integers and masks that the graph holds are data of an op, not elements that it moves.
at::Tensor Certificate::index_data(ValueId value) {
  const DType dtype = dense_.value(value).dtype;
  const bool index = dtype == DType::kInt64 || dtype == DType::kInt32 || dtype == DType::kBool;
  const bool constant = dense_.value(value).kind == ValueKind::kParameter ||
                        combing_.folded[static_cast<size_t>(value)];
  return index && constant ? constants_(value) : at::Tensor();
}

/// Dimensions along which no label of the value varies: their size does not matter.
std::vector<bool> Certificate::idle(ValueId value) const {
  std::vector<bool> result(dense_.value(value).shape.size(), true);
  for (int array : combing_.dims[static_cast<size_t>(value)]) {
    if (array < 0) continue;
    const auto& extents = combing_.arrays[static_cast<size_t>(array)].extents;
    for (size_t d = 0; d < extents.size(); ++d) {
      if (extents[d] > 1) result[d] = false;
    }
  }
  return result;
}

/// Dimensions of all operands and outputs that can be taken as 1 without changing what the op does.
std::vector<bool> Certificate::collapsible(const Op& op) const {
  static const std::set<std::string> by_dim = {
      "aten::cat",   "aten::slice", "aten::split",        "aten::split_with_sizes",
      "aten::chunk", "aten::flip",  "aten::index_select", "aten::roll"};
  // These move whole dimensions: one that is idle before is idle after, wherever it went.
  static const std::set<std::string> by_rank = {"aten::permute", "aten::transpose", "aten::t",
                                                "aten::movedim", "aten::unsqueeze", "aten::select",
                                                "aten::unbind"};
  const auto operands = op.operands();
  std::vector<bool> result = idle(operands.front());
  const bool ranked = by_rank.count(op.kind) > 0;
  if (by_dim.count(op.kind) == 0 && !ranked) return std::vector<bool>(result.size(), false);
  const auto meet = [&](ValueId value) {
    const auto own = idle(value);
    for (size_t d = 0; d < result.size(); ++d) result[d] = result[d] && d < own.size() && own[d];
  };
  for (ValueId value : op.outputs) {
    if (!ranked) meet(value);
  }
  if (op.kind == "aten::cat") {
    for (ValueId value : operands) meet(value);
  }
  std::vector<int64_t> used;
  const bool picks = op.kind == "aten::select" || op.kind == "aten::unbind";
  if ((!ranked || picks) && op.find("dim") != nullptr) used.push_back(op.integer("dim"));
  if (!ranked && op.find("dims") != nullptr) used = op.integers("dims");
  for (int64_t dim : used) {
    result[static_cast<size_t>(dim < 0 ? dim + static_cast<int64_t>(result.size()) : dim)] = false;
  }
  return result;
}

Shape Certificate::collapsed(ValueId value, const std::vector<bool>& dims) const {
  Shape shape = dense_.value(value).shape;
  for (size_t d = 0; d < shape.size() && d < dims.size(); ++d) {
    if (dims[d]) shape[d] = 1;
  }
  return shape;
}

at::Tensor Certificate::positions(const Shape& shape, int64_t base) const {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return at::arange(base, base + count, at::kLong).view(shape);
}

at::Tensor Certificate::cut_down(const at::Tensor& whole, ValueId value) const {
  return gather(whole, gather_of(whole.sizes().vec(), combing_, sizes_, value));
}

/// Reshapes: equal idle dimensions in front and at the end are left out.
void Certificate::check_reshape(const Op& dense, const Op& op) const {
  const ValueId input = dense.operands().front(), output = dense.outputs.front();
  Shape from = dense_.value(input).shape, to = dense_.value(output).shape;
  const auto idle_from = idle(input), idle_to = idle(output);
  Shape target;
  const Sizes sizes{[&](ValueId value, int dim) {
                      return compaction_.graph.value(value).shape[static_cast<size_t>(dim)];
                    },
                    false};
  for (const Expr& expr : std::get<std::vector<Expr>>(op.arg("shape"))) {
    target.push_back(as_int(expr.evaluate(sizes)));
  }
  const auto shrink = [&](size_t a, size_t b) {
    if (!idle_from[a] || !idle_to[b] || from[a] != to[b]) return false;
    from[a] = to[b] = target[b] = 1;
    return true;
  };
  size_t front = 0;
  while (front < std::min(from.size(), to.size()) && shrink(front, front)) ++front;
  for (size_t k = 1; k + front <= std::min(from.size(), to.size()); ++k) {
    if (!shrink(from.size() - k, to.size() - k)) break;
  }
  const at::Tensor whole = positions(from, 0);
  at::Tensor moved;
  try {
    moved = cut_down(whole, input).reshape(target);
  } catch (const c10::Error& error) {
    refuse(dense, std::string("it fails on what is kept: ") + error.what_without_backtrace());
  }
  if (!at::equal(cut_down(whole.reshape(to), output), moved)) {
    refuse(dense, "it does not move the kept positions as the dense op does");
  }
}

/// op'(compact(P)) = compact(op(P)) on position numbers P of each operand in turn.
void Certificate::check_layout(OpId id, const Op& dense, const Op& op) {
  if (dense.kind == "aten::reshape" && op.kind == dense.kind) return check_reshape(dense, op);
  if (!dense_run_) {
    Graph dense_graph = dense_;
    for (Op& each : dense_graph.ops) each = blocks_.resolved(each);
    dense_run_ = std::make_unique<Execution>(dense_graph);
    compact_run_ = std::make_unique<Execution>(compaction_.graph);
  }
  const c10::AutoGradMode no_grad(false);
  const auto left_out = collapsible(dense);
  Tensors whole(dense_.values.size()), cut(compaction_.graph.values.size());
  int64_t base = 0;
  for (ValueId operand : dense.operands()) {
    const auto at = static_cast<size_t>(operand);
    if (whole[at].defined()) continue;
    if (const at::Tensor data = index_data(operand); data.defined()) {
      whole[at] = data;
      cut[at] = gather(data, gather_of(dense_, combing_, sizes_, operand));
      continue;
    }
    whole[at] = positions(collapsed(operand, left_out), base);
    cut[at] = cut_down(whole[at], operand);
    base += whole[at].numel();
  }
  for_each_size_of(dense, [&](ValueId value) {
    const auto at = static_cast<size_t>(value);
    if (!whole[at].defined()) whole[at] = of_shape(dense_.value(value).shape);
  });
  for_each_size_of(op, [&](ValueId value) {
    const auto at = static_cast<size_t>(value);
    if (!cut[at].defined()) cut[at] = of_shape(compaction_.graph.value(value).shape);
  });
  for (const auto& [value, tensor] : compaction_.constants) {
    at::Tensor& data = cut[static_cast<size_t>(value)];
    if (!data.defined()) data = tensor;  // what is moved has its positions already
  }
  try {
    dense_run_->run_op(compaction_.dense_ops[static_cast<size_t>(id)], whole);
    compact_run_->run_op(id, cut);
  } catch (const std::exception& error) {
    refuse(dense, std::string("the op fails on what is kept: ") + error.what());
  }
  for (ValueId output : op.outputs) {
    const auto at = static_cast<size_t>(output);
    if (!cut[at].defined() || !at::equal(cut_down(whole[at], output), cut[at])) {
      refuse(dense, "it does not move the kept positions as the dense op does");
    }
  }
}

}  // namespace

void certify(const Model& model, const Combing& combing, const Keep& keep,
             const Compaction& compaction, const Rules& rules) {
  Certificate(model, combing, keep, compaction, rules).check();
}

}  // namespace cpd
