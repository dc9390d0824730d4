#include <cpd/comb/rules/common.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace cpd::rules {

bool labelled(const Labels& labels) {
  return std::any_of(labels.dims.begin(), labels.dims.end(),
                     [](const LabelArray& array) { return !array.none(); });
}

bool any_labelled(RuleContext& rule) {
  const auto operands = rule.op().operands();
  return std::any_of(operands.begin(), operands.end(),
                     [&](ValueId value) { return labelled(rule.labels(value)); });
}

ValueId subject(const Op& op) {
  for (const auto& arg : op.args) {
    if (const auto* ref = std::get_if<ValueRef>(&arg.value); ref != nullptr && ref->id >= 0) {
      return ref->id;
    }
  }
  throw Error("an op reads no tensor", {op.kind, op.where.text(), ""});
}

int rank_of(const RuleContext& rule, ValueId value) {
  return static_cast<int>(rule.shape(value).size());
}

std::vector<int> dims_of(const Op& op, const std::string& argument, int rank) {
  const auto* arg = op.find(argument);
  std::vector<int64_t> named;
  if (arg != nullptr && std::holds_alternative<Expr>(*arg)) named = {op.integer(argument)};
  if (arg != nullptr && std::holds_alternative<std::vector<Expr>>(*arg)) {
    named = op.integers(argument);
  }
  if (named.empty()) return int_range(0, rank);
  std::vector<int> dims;
  for (int64_t dim : named) dims.push_back(static_cast<int>(dim < 0 ? dim + rank : dim));
  return dims;
}

int dim_of(const Op& op, const std::string& argument, int rank) {
  const int64_t dim = op.integer(argument);
  return static_cast<int>(dim < 0 ? dim + rank : dim);
}

bool contains(const std::vector<int>& dims, int dim) {
  return std::find(dims.begin(), dims.end(), dim) != dims.end();
}

std::vector<int> int_range(int begin, int end) {
  std::vector<int> result(static_cast<size_t>(std::max(end - begin, 0)));
  std::iota(result.begin(), result.end(), begin);
  return result;
}

std::vector<int64_t> positions(int64_t begin, int64_t end, int64_t step) {
  std::vector<int64_t> result;
  for (int64_t at = begin; at < end; at += step) result.push_back(at);
  return result;
}

std::vector<int64_t> each_repeated(int64_t count, int64_t times) {
  std::vector<int64_t> result;
  for (int64_t at = 0; at < count * times; ++at) result.push_back(at / times);
  return result;
}

Labels mixed(RuleContext& rule, Labels labels, const std::vector<int>& dims,
             const std::string& reason) {
  for (int dim : dims) {
    labels = rule.align_others(labels, dim);
    rule.lock(labels.dims[static_cast<size_t>(dim)], reason);
    labels.dims[static_cast<size_t>(dim)] = {};
  }
  return labels;
}

Labels aligned_over_rows(RuleContext& rule, Labels labels, int dim) {
  auto& array = labels.dims[static_cast<size_t>(dim)];
  for (int d = 0; d < labels.rank(); ++d) {
    if (d != dim && array.varies(d)) array = rule.align(array, d);
  }
  return labels;
}

Labels take(RuleContext& rule, const Labels& labels, int dim,
            const std::vector<int64_t>& positions) {
  Labels result = taken(labels, dim, positions);
  auto& array = result.dims[static_cast<size_t>(dim)];
  if (positions.size() <= 1 && !array.none()) {
    rule.lock(array, "a single position of a dimension is read");
    array = {};
  }
  return result;
}

Labels select(RuleContext& rule, const Labels& labels, int dim, int64_t position) {
  return dropped(take(rule, labels, dim, {position}), dim);
}

Labels with_rank(Labels labels, size_t rank) {
  while (static_cast<size_t>(labels.rank()) < rank) labels = unsqueezed(labels, 0);
  return labels;
}

LabelArray met_beside(RuleContext& rule, LabelArray a, LabelArray b, int dim) {
  if (a.varies(dim)) a = rule.align(a, dim);
  if (b.varies(dim)) b = rule.align(b, dim);
  rule.unify(a, b);
  return a.none() ? b : a;
}

Labels dropped(const Labels& labels, int dim) {
  Labels result = taken(labels, dim, {0});
  result.dims[static_cast<size_t>(dim)] = {};
  return squeezed(result, dim);
}

Labels along(const Labels& vector, int dim, int rank) {
  Labels result = vector;
  for (int d = 0; d < dim; ++d) result = unsqueezed(result, 0);
  while (result.rank() < rank) result = unsqueezed(result, result.rank());
  return result;
}

LabelArray copies(RuleContext& rule, const Labels& labels, int dim, int64_t count) {
  Shape extents(static_cast<size_t>(labels.rank()), 1);
  for (int d = 0; d < dim; ++d) {
    const auto at = static_cast<size_t>(d);
    if (!labels.dims[at].none()) extents[at] = labels.shape[at];
  }
  extents[static_cast<size_t>(dim)] = count;
  return rule.fresh(extents, PrimitiveKind::kCopy);
}

Labels with_copies(RuleContext& rule, const Labels& labels, int dim, int64_t count) {
  Labels result = unsqueezed(labels, dim + 1);
  const auto at = static_cast<size_t>(dim + 1);
  result.dims[at] = copies(rule, result, dim + 1, count);
  result.shape[at] = count;
  register_rectangles(rule, result);
  return result;
}

void register_rectangles(RuleContext& rule, const Labels& labels) {
  for (int d = 0; d < labels.rank(); ++d) {
    const auto& array = labels.dims[static_cast<size_t>(d)];
    if (!array.none()) rule.rectangle(array, d);
  }
}

void set_all(RuleContext& rule, const Labels& labels) {
  for (ValueId output : rule.op().outputs) {
    if (output < 0) continue;
    if (rule.shape(output) == labels.shape) {
      rule.set(output, labels);
    } else {
      for (const auto& array : labels.dims) rule.lock(array, "an output of another shape");
    }
  }
}

void lock_operands(RuleContext& rule, const std::string& reason) {
  for (ValueId operand : rule.op().operands()) rule.lock_all(operand, reason);
}

void own_sizes(RewriteContext& rewrite, const std::string& argument, ValueId value, int first) {
  const auto* dense = std::get_if<std::vector<Expr>>(&rewrite.dense_op().arg(argument));
  if (dense == nullptr) return;
  std::vector<Expr> sizes = *dense;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i].dense_int() == -1) continue;
    sizes[i] = rewrite.owned(sizes[i], value, first + static_cast<int>(i));
  }
  rewrite.op().set(argument, sizes);
}

namespace {

/// The step of an arithmetic progression, or nothing if the numbers are none that ascends.
std::optional<int64_t> step_of(const std::vector<int64_t>& numbers) {
  if (numbers.size() < 2) return 1;
  const int64_t step = numbers[1] - numbers[0];
  for (size_t i = 1; i < numbers.size(); ++i) {
    if (numbers[i] - numbers[i - 1] != step) return std::nullopt;
  }
  return step > 0 ? std::optional<int64_t>(step) : std::nullopt;
}

}  // namespace

void rewrite_selection(RewriteContext& rewrite, ValueId input, int dim,
                       const std::vector<int64_t>& positions) {
  std::map<int64_t, int64_t> place;
  for (int64_t kept : rewrite.kept(input, dim)) {
    place.emplace(kept, static_cast<int64_t>(place.size()));
  }
  std::vector<int64_t> compact;
  for (int64_t position : positions) {
    const auto found = place.find(position);
    if (found != place.end()) compact.push_back(found->second);
  }
  const auto step = step_of(compact);
  if (!step || compact.empty()) return rewrite.replace_by_index_select(input, dim, compact);
  Op slice;
  slice.kind = "aten::slice";
  slice.overload = "Tensor";
  slice.outputs = rewrite.dense_op().outputs;
  slice.where = rewrite.dense_op().where;
  slice.scope = rewrite.dense_op().scope;
  slice.args = {{"self", ValueRef{input}},
                {"dim", Expr::constant(int64_t{dim})},
                {"start", Expr::constant(compact.front())},
                {"end", Expr::constant(compact.back() + 1)},
                {"step", Expr::constant(*step)}};
  rewrite.op() = std::move(slice);
}

void set_integer(RewriteContext& rewrite, const std::string& argument, int64_t value) {
  rewrite.op().set(argument, Expr::constant(value));
}

void set_rows(RewriteContext& rewrite, const std::string& argument, int64_t kept) {
  const Expr dense = std::get<Expr>(rewrite.dense_op().arg(argument));
  const int64_t rows = dense.dense_int();
  if (kept == rows) return;
  if (dense.is_constant()) return set_integer(rewrite, argument, kept);
  const Expr share = Expr::call("mul", {dense, Expr::constant(kept)});
  rewrite.op().set(argument, Expr::call("floordiv", {share, Expr::constant(rows)}));
}

}  // namespace cpd::rules
