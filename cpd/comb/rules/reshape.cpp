#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>

namespace cpd {
namespace {

using rules::dim_of;
using rules::dims_of;
using rules::rank_of;
using rules::subject;

ValueId output_of(const Op& op) { return op.outputs.front(); }

void comb_reshape(RuleContext& rule) {
  const Op& op = rule.op();
  if (op.overload == "dtype") return rules::lock_operands(rule, "bytes are read as another type");
  const Labels labels = rule.labels(subject(op));
  if (rules::labelled(labels))
    rule.set(output_of(op), rule.reshape(labels, rule.shape(output_of(op))));
}

/// The second operand gives the shape, so its sizes are tied to the result's.
void comb_reshape_as(RuleContext& rule) {
  comb_reshape(rule);
  const ValueId output = output_of(rule.op());
  const Labels like = rule.labels(rule.op().tensor("other"));
  for (int d = 0; d < like.rank(); ++d) {
    rule.unify(rule.labels(output).dims[static_cast<size_t>(d)], like.dims[static_cast<size_t>(d)]);
  }
}

void rewrite_sizes(RewriteContext& rewrite, const std::string& argument, int first) {
  rules::own_sizes(rewrite, argument, output_of(rewrite.dense_op()), first);
}

void rewrite_unflatten(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  const int rank = static_cast<int>(rewrite.dense().value(subject(op)).shape.size());
  rewrite_sizes(rewrite, "sizes", dim_of(op, "dim", rank));
}

using Order = std::vector<int>;

Order swapped(int rank, int a, int b) {
  Order order = rules::int_range(0, rank);
  std::swap(order[static_cast<size_t>(a)], order[static_cast<size_t>(b)]);
  return order;
}

Order reversed(int rank) {
  Order order = rules::int_range(0, rank);
  std::reverse(order.begin(), order.end());
  return order;
}

/// `movedim`: source[i] goes to destination[i], the others keep their order.
Order moved(int rank, const std::vector<int>& source, const std::vector<int>& destination) {
  Order order(static_cast<size_t>(rank), -1);
  for (size_t i = 0; i < source.size(); ++i) order[static_cast<size_t>(destination[i])] = source[i];
  int next = 0;
  for (int& from : order) {
    if (from >= 0) continue;
    while (rules::contains(source, next)) ++next;
    from = next++;
  }
  return order;
}

/// A rule that permutes dimensions in the order that `order_of(op, rank)` gives.
template <typename OrderOf>
Rule permutation(OrderOf order_of) {
  const auto comb = [order_of](RuleContext& rule) {
    const ValueId input = subject(rule.op());
    const Labels labels = rule.labels(input);
    if (!rules::labelled(labels)) return;
    rule.set(output_of(rule.op()), permuted(labels, order_of(rule.op(), labels.rank())));
  };
  return {comb, nullptr, true};
}

/// Dimensions that a `squeeze` drops: those of size 1 among the named ones.
std::vector<int> squeezed_dims(const Op& op, const Shape& shape) {
  std::vector<int> dims;
  for (int dim : dims_of(op, "dim", static_cast<int>(shape.size()))) {
    if (shape[static_cast<size_t>(dim)] == 1) dims.push_back(dim);
  }
  std::sort(dims.begin(), dims.end());
  return dims;
}

void comb_squeeze(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const auto dims = squeezed_dims(op, labels.shape);
  for (size_t i = dims.size(); i-- > 0;) labels = squeezed(labels, dims[i]);
  rule.set(output_of(op), labels);
}

/// A dimension that has shrunk to one must not be squeezed: name those that were.
void rewrite_squeeze(RewriteContext& rewrite) {
  const Op& dense = rewrite.dense_op();
  const ValueId input = subject(dense);
  const Shape& shape = rewrite.dense().value(input).shape;
  bool harmless = true;
  for (int dim : dims_of(dense, "dim", static_cast<int>(shape.size()))) {
    harmless = harmless && (shape[static_cast<size_t>(dim)] == 1 || rewrite.size(input, dim) != 1);
  }
  if (harmless) return;
  std::vector<Expr> kept;
  for (int dim : squeezed_dims(dense, shape)) kept.push_back(Expr::constant(int64_t{dim}));
  Op& op = rewrite.op();
  op.kind = kept.empty() ? "aten::alias" : "aten::squeeze";
  op.overload = kept.empty() ? "" : "dims";
  op.args = {{"self", ValueRef{input}}};
  if (!kept.empty()) op.args.push_back({"dim", kept});
}

void comb_unsqueeze(RuleContext& rule) {
  const Op& op = rule.op();
  const Labels labels = rule.labels(subject(op));
  if (rules::labelled(labels)) {
    rule.set(output_of(op), unsqueezed(labels, dim_of(op, "dim", labels.rank() + 1)));
  }
}

/// `atleast_2d` and the like put dimensions of size 1 around.
void comb_same_elements(RuleContext& rule) { comb_reshape(rule); }

void add_permutations(Rules& rules) {
  rules.add("aten::permute",
            permutation([](const Op& op, int rank) { return dims_of(op, "dims", rank); }));
  rules.add("aten::transpose", permutation([](const Op& op, int rank) {
              return swapped(rank, dim_of(op, "dim0", rank), dim_of(op, "dim1", rank));
            }));
  rules.add("aten::swapdims", permutation([](const Op& op, int rank) {
              return swapped(rank, dim_of(op, "dim0", rank), dim_of(op, "dim1", rank));
            }));
  rules.add("aten::swapaxes", permutation([](const Op& op, int rank) {
              return swapped(rank, dim_of(op, "axis0", rank), dim_of(op, "axis1", rank));
            }));
  rules.add_all({"aten::t", "aten::numpy_T"},
                permutation([](const Op&, int rank) { return reversed(rank); }));
  rules.add_all({"aten::mT", "aten::mH", "aten::adjoint", "aten::matrix_H"},
                permutation([](const Op&, int rank) { return swapped(rank, rank - 2, rank - 1); }));
  rules.add_all({"aten::movedim", "aten::moveaxis"}, permutation([](const Op& op, int rank) {
                  return moved(rank, dims_of(op, "source", rank), dims_of(op, "destination", rank));
                }));
}

}  // namespace

void add_reshape_rules(Rules& rules) {
  rules.add("aten::reshape",
            {comb_reshape, [](RewriteContext& r) { rewrite_sizes(r, "shape", 0); }, true});
  rules.add_all({"aten::view", "aten::_unsafe_view", "aten::view_copy"},
                {comb_reshape, [](RewriteContext& r) { rewrite_sizes(r, "size", 0); }, true});
  rules.add("aten::unflatten", {comb_reshape, rewrite_unflatten, true});
  rules.add_all({"aten::flatten", "aten::ravel"}, {comb_reshape, nullptr, true});
  rules.add_all({"aten::view_as", "aten::reshape_as"}, {comb_reshape_as});
  rules.add_all({"aten::atleast_1d", "aten::atleast_2d", "aten::atleast_3d"},
                {comb_same_elements, nullptr, true});
  rules.add("aten::squeeze", {comb_squeeze, rewrite_squeeze, true});
  rules.add("aten::unsqueeze", {comb_unsqueeze, nullptr, true});
  add_permutations(rules);
}

}  // namespace cpd
