#include <ATen/core/Tensor.h>
#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>
#include <optional>

namespace cpd {
namespace {

using Positions = std::vector<int64_t>;
using rules::subject;

/// The positions that a constant vector of indices names; a mask names those where it is true.
std::optional<Positions> positions_in(const at::Tensor& tensor, int64_t extent) {
  if (!tensor.defined() || tensor.dim() != 1) return std::nullopt;
  const bool mask = tensor.scalar_type() == at::kBool;
  if (mask && tensor.numel() != extent) return std::nullopt;
  const at::Tensor index =
      (mask ? tensor.nonzero().reshape({-1}) : tensor).to(at::kCPU, at::kLong).contiguous();
  Positions result(index.data_ptr<int64_t>(), index.data_ptr<int64_t>() + index.numel());
  for (auto& at : result) at = at < 0 ? at + extent : at;
  return result;
}

/// Labels of the positions that a constant names along a dimension; the same for all rows.
Labels indexed(RuleContext& rule, const Labels& labels, int dim, const Positions& positions) {
  if (labels.dims[static_cast<size_t>(dim)].none()) return taken(labels, dim, positions);
  return rules::take(rule, rules::aligned_over_rows(rule, labels, dim), dim, positions);
}

void comb_index_select(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId output = op.outputs.front();
  Labels labels = rule.labels(op.tensor("self"));
  const ValueId index = op.tensor("index");
  if (!rules::labelled(labels) || labels.rank() == 0) return;
  const int dim = rules::dim_of(op, "dim", labels.rank());
  const auto positions = positions_in(rule.constant(index), labels.shape[static_cast<size_t>(dim)]);
  rule.lock_all(index, "positions are data");
  if (positions) return rule.set(output, indexed(rule, labels, dim, *positions));
  labels = rules::mixed(rule, labels, {dim}, "it is indexed by data");
  labels.shape = rule.shape(output);
  rule.set(output, labels);
}

void rewrite_index_select(RewriteContext& rewrite) {
  const Op op = rewrite.dense_op();
  const ValueId self = op.tensor("self");
  const Shape& shape = rewrite.dense().value(self).shape;
  if (shape.empty()) return;
  const int dim = rules::dim_of(op, "dim", static_cast<int>(shape.size()));
  if (!rewrite.shrinks(self, dim)) return;
  const auto positions =
      positions_in(rewrite.constant(op.tensor("index")), shape[static_cast<size_t>(dim)]);
  rules::rewrite_selection(rewrite, self, dim, positions.value());
}

/// Which dimensions `aten::index` indexes, and by what.
struct Index {
  std::vector<int> dims;
  std::vector<ValueId> tensors;
};

Index index_of(const Graph& graph, const Op& op) {
  Index index;
  const auto& all = std::get<std::vector<ValueRef>>(op.arg("indices"));
  int dim = 0;
  for (const auto& ref : all) {
    if (ref.id < 0) {
      ++dim;
      continue;
    }
    const Value& value = graph.value(ref.id);
    const bool mask = value.dtype == DType::kBool || value.dtype == DType::kUInt8;
    const int covered = mask ? static_cast<int>(value.shape.size()) : 1;
    for (int i = 0; i < covered; ++i) index.dims.push_back(dim++);
    index.tensors.push_back(ref.id);
  }
  return index;
}

/// The dimension of the result at which the indices' own dimensions stand.
int place_of(const Index& index) {
  const bool together =
      index.dims.back() - index.dims.front() + 1 == static_cast<int>(index.dims.size());
  return together ? index.dims.front() : 0;
}

/// Indexed dimensions are locked and give way to those of the indices.
Labels indexed_by_data(RuleContext& rule, Labels labels, const Index& index, const Shape& shape) {
  labels = rules::mixed(rule, labels, index.dims, "it is indexed by data");
  for (size_t i = index.dims.size(); i-- > 0;) labels = rules::dropped(labels, index.dims[i]);
  const int place = place_of(index);
  while (labels.rank() < static_cast<int>(shape.size())) labels = unsqueezed(labels, place);
  labels.shape = shape;
  return labels;
}

void comb_index(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId output = op.outputs.front();
  const Labels labels = rule.labels(op.tensor("self"));
  const Index index = index_of(rule.graph(), rule.op());
  for (ValueId tensor : index.tensors) rule.lock_all(tensor, "positions are data");
  if (!rules::labelled(labels) || index.dims.empty()) return;
  if (index.dims.size() == 1) {
    const int dim = index.dims.front();
    const auto positions =
        positions_in(rule.constant(index.tensors.front()), labels.shape[static_cast<size_t>(dim)]);
    if (positions) return rule.set(output, indexed(rule, labels, dim, *positions));
  }
  rule.set(output, indexed_by_data(rule, labels, index, rule.shape(output)));
}

void rewrite_index(RewriteContext& rewrite) {
  const Op op = rewrite.dense_op();
  const ValueId self = op.tensor("self");
  const auto& all = std::get<std::vector<ValueRef>>(op.arg("indices"));
  const auto used =
      std::find_if(all.begin(), all.end(), [](const ValueRef& r) { return r.id >= 0; });
  if (used == all.end()) return;
  const int dim = static_cast<int>(used - all.begin());
  if (!rewrite.shrinks(self, dim)) return;
  const int64_t extent = rewrite.dense().value(self).shape[static_cast<size_t>(dim)];
  const auto positions = positions_in(rewrite.constant(used->id), extent);
  rules::rewrite_selection(rewrite, self, dim, positions.value());
}

/// A table looked up by data: the vocabulary stays, the width is free.
void comb_embedding(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId weight = op.tensor("weight"), indices = op.tensor("indices");
  const ValueId output = op.outputs.front();
  rule.lock_all(indices, "positions are data");
  rule.role(weight, 1, Role::kWriter);
  Labels table = rules::mixed(rule, rule.labels(weight), {0}, "the vocabulary of a lookup");
  table = rules::dropped(table, 0);
  while (table.rank() < static_cast<int>(rule.shape(output).size())) table = unsqueezed(table, 0);
  table.shape = rule.shape(output);
  rule.set(output, table);
}

/// Values are picked along one dimension by an index of the result's rank; the other dimensions
/// meet where the index has them whole.
void comb_gather(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  const ValueId self = op.tensor("self"), index = op.tensor("index");
  const ValueId output = op.outputs.front();
  const int rank = rules::rank_of(rule, self);
  if (rank == 0 || !op.has("dim")) return rules::lock_operands(rule, "elements are picked by data");
  const int dim = rules::dim_of(op, "dim", rank);
  std::vector<Labels> meeting;
  for (ValueId value : {self, index}) {
    Labels labels = rules::mixed(rule, rule.labels(value), {dim}, "it is indexed by data");
    for (int d = 0; d < rank; ++d) {
      if (d != dim &&
          rule.shape(self)[static_cast<size_t>(d)] != rule.shape(index)[static_cast<size_t>(d)]) {
        labels = rules::mixed(rule, labels, {d}, "it is gathered in part");
      }
    }
    labels.shape = rule.shape(output);
    meeting.push_back(labels);
  }
  rule.set(output, rule.meet(meeting, rule.shape(output)));
}

/// A write into positions of one dimension, which a constant names, each once.
struct Write {
  int dim = 0;
  ValueId index = -1;
  ValueId values = -1;  ///< -1: a number
  Positions where;
};

template <typename Context>
std::optional<Write> constant_write(Context& context, const Graph& graph, const Op& op) {
  const Shape& shape = graph.value(op.tensor("self")).shape;
  if (shape.empty()) return std::nullopt;
  Write write;
  if (op.find("indices") != nullptr) {
    const Index index = index_of(graph, op);
    if (index.dims.size() != 1) return std::nullopt;
    write = {index.dims.front(), index.tensors.front(), op.tensor("values"), {}};
  } else {
    const char* values = op.find("source") != nullptr ? "source" : "value";
    write = {rules::dim_of(op, "dim", static_cast<int>(shape.size())),
             op.tensor("index"),
             std::holds_alternative<Expr>(op.arg(values)) ? -1 : op.tensor(values),
             {}};
  }
  const auto where =
      positions_in(context.constant(write.index), shape[static_cast<size_t>(write.dim)]);
  if (!where) return std::nullopt;
  write.where = *where;
  Positions sorted = *where;
  std::sort(sorted.begin(), sorted.end());
  const bool once = std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
  return once ? std::make_optional(write) : std::nullopt;
}

/// What is written goes with the positions that it is written to.
void comb_constant_write(RuleContext& rule, const Write& write) {
  if (!rules::any_labelled(rule)) return;
  const auto at = static_cast<size_t>(write.dim);
  rule.lock_all(write.index, "positions are data");
  const Labels target =
      rules::aligned_over_rows(rule, rule.labels(rule.op().tensor("self")), write.dim);
  rule.set(rule.op().outputs.front(), target);
  if (write.values < 0) return;
  const Labels source = rules::aligned_over_rows(
      rule, rules::with_rank(rule.labels(write.values), target.dims.size()), write.dim);
  for (size_t d = 0; d < target.dims.size(); ++d) {
    if (d == at || source.shape[d] != target.shape[d]) continue;
    rules::met_beside(rule, target.dims[d], source.dims[d], write.dim);
  }
  const auto count = static_cast<int64_t>(write.where.size());
  if (source.shape[at] != count) return;  // one value for all of them
  const LabelArray all =
      explicit_along(target.dims[at], target.rank(), write.dim, target.shape[at]);
  rule.unify(taken(all, write.dim, write.where),
             explicit_along(source.dims[at], target.rank(), write.dim, count));
}

void rewrite_constant_write(RewriteContext& rewrite) {
  const Op& dense = rewrite.dense_op();
  const auto write = constant_write(rewrite, rewrite.dense(), dense);
  const ValueId self = dense.tensor("self");
  if (!write || !rewrite.shrinks(self, write->dim)) return;
  const Positions kept = rewrite.kept(self, write->dim);
  Positions moved;
  for (const int64_t position : write->where) {
    const auto found = std::lower_bound(kept.begin(), kept.end(), position);
    if (found != kept.end() && *found == position) moved.push_back(found - kept.begin());
  }
  const ValueRef index{rewrite.index_constant(moved)};
  if (dense.find("indices") == nullptr) return rewrite.op().set("index", index);
  auto indices = std::get<std::vector<ValueRef>>(dense.arg("indices"));
  for (ValueRef& each : indices) {
    if (each.id >= 0) each = index;
  }
  rewrite.op().set("indices", indices);
}

/// Writes to positions that data names: the written dimension stays; the others meet where all
/// operands have them whole.
void comb_scatter(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  const ValueId self = op.tensor("self");
  const int rank = rules::rank_of(rule, self);
  const int dim = rank == 0 ? 0 : rules::dim_of(op, "dim", rank);
  std::vector<Labels> meeting;
  for (ValueId value : op.operands()) {
    if (rules::rank_of(rule, value) != rank) {
      rule.lock_all(value, "positions are data");
      continue;
    }
    Labels labels = rules::mixed(rule, rule.labels(value), {dim}, "data says where it is written");
    for (int d = 0; d < rank; ++d) {
      const auto at = static_cast<size_t>(d);
      if (d != dim && rule.shape(value)[at] != rule.shape(self)[at]) {
        rule.lock(self, d, "it is written in part");
        labels = rules::mixed(rule, labels, {d}, "it is written in part");
      }
    }
    labels.shape = rule.shape(self);
    meeting.push_back(labels);
  }
  rule.set(op.outputs.front(), rule.meet(meeting, rule.shape(self)));
}

/// `index_add` and such: the same unless the index is a constant.
void comb_indexed_write(RuleContext& rule) {
  const auto write = constant_write(rule, rule.graph(), rule.op());
  write ? comb_constant_write(rule, *write) : comb_scatter(rule);
}

/// `index_put`: indexed dimensions stay; the rest of the values meets the rest of the target.
void comb_index_put(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  if (const auto write = constant_write(rule, rule.graph(), op)) {
    return comb_constant_write(rule, *write);
  }
  const ValueId self = op.tensor("self"), values = op.tensor("values");
  const Index index = index_of(rule.graph(), rule.op());
  for (ValueId tensor : index.tensors) rule.lock_all(tensor, "positions are data");
  Labels target = rule.labels(self);
  if (index.dims.empty() || index.dims.front() != 0 || place_of(index) != 0 ||
      index.dims.back() + 1 != static_cast<int>(index.dims.size())) {
    return rules::lock_operands(rule, "elements are written where data says");
  }
  target = rules::mixed(rule, target, index.dims, "data says where it is written");
  const int rest = target.rank() - static_cast<int>(index.dims.size());
  Labels source = rule.labels(values);
  const int leading = std::max(source.rank() - rest, 0);
  source = rules::mixed(rule, source, rules::int_range(0, leading), "data says where it goes");
  for (int d = leading; d-- > 0;) source = rules::dropped(source, d);
  rule.set(op.outputs.front(), rule.meet({target, source}, target.shape));
}

/// Ops whose result has one dimension for everything that data picks.
void comb_picked_by_data(RuleContext& rule) {
  rules::lock_operands(rule, "elements are picked by data");
}

}  // namespace

void add_indexing_rules(Rules& rules) {
  rules.add("aten::index_select", {comb_index_select, rewrite_index_select});
  rules.add_all({"aten::index", "aten::_unsafe_index"}, {comb_index, rewrite_index});
  rules.add("aten::embedding", {comb_embedding});
  rules.add_all({"aten::gather", "aten::take_along_dim"}, {comb_gather});
  rules.add_all({"aten::scatter", "aten::scatter_add", "aten::scatter_reduce"}, {comb_scatter});
  rules.add_all({"aten::index_add", "aten::index_copy", "aten::index_fill"},
                {comb_indexed_write, rewrite_constant_write});
  rules.add_all({"aten::index_put", "aten::_unsafe_index_put"},
                {comb_index_put, rewrite_constant_write});
  rules.add_all({"aten::masked_select", "aten::masked_scatter", "aten::nonzero", "aten::take",
                 "aten::one_hot", "aten::bincount", "aten::bucketize", "aten::searchsorted",
                 "aten::unique_consecutive", "aten::embedding_bag"},
                {comb_picked_by_data});
}

}  // namespace cpd
