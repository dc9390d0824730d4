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

Index index_of(const RuleContext& rule) {
  Index index;
  const auto& all = std::get<std::vector<ValueRef>>(rule.op().arg("indices"));
  int dim = 0;
  for (const auto& ref : all) {
    if (ref.id < 0) {
      ++dim;
      continue;
    }
    const bool mask = rule.graph().value(ref.id).dtype == DType::kBool ||
                      rule.graph().value(ref.id).dtype == DType::kUInt8;
    const int covered = mask ? rules::rank_of(rule, ref.id) : 1;
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
  const Index index = index_of(rule);
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

/// `index_put`: indexed dimensions stay; the rest of the values meets the rest of the target.
void comb_index_put(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const Op& op = rule.op();
  const ValueId self = op.tensor("self"), values = op.tensor("values");
  const Index index = index_of(rule);
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
  rules.add_all({"aten::scatter", "aten::scatter_add", "aten::scatter_reduce", "aten::index_add",
                 "aten::index_copy", "aten::index_fill"},
                {comb_scatter});
  rules.add_all({"aten::index_put", "aten::_unsafe_index_put"}, {comb_index_put});
  rules.add_all({"aten::masked_select", "aten::masked_scatter", "aten::nonzero", "aten::take",
                 "aten::one_hot", "aten::bincount", "aten::bucketize", "aten::searchsorted",
                 "aten::unique_consecutive", "aten::embedding_bag"},
                {comb_picked_by_data});
}

}  // namespace cpd
