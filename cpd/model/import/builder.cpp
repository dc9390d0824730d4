#include <cpd/core/error.h>
#include <cpd/model/import/builder.h>
#include <cpd/model/scalar_type.h>

#include <algorithm>

namespace cpd::import {
namespace {

Expr number(int64_t value) { return Expr::constant(value); }

void set_source(Op& op, ValueId source) {
  for (auto& arg : op.args) {
    if (std::holds_alternative<ValueRef>(arg.value)) {
      arg.value = ValueRef{source};
      return;
    }
  }
}

Op make_op(const std::string& kind, const std::string& overload, std::vector<NamedArg> args,
           const Op& like) {
  return {kind, overload, std::move(args), {}, like.where, like.scope};
}

std::vector<Expr> sizes_of(const Graph& graph, ValueId value) {
  std::vector<Expr> sizes;
  const Shape& shape = graph.value(value).shape;
  for (size_t d = 0; d < shape.size(); ++d) {
    sizes.push_back(Expr::size(value, static_cast<int>(d), shape[d]));
  }
  return sizes;
}

}  // namespace

ValueId Builder::add_value(const at::Tensor& tensor, ValueKind kind, const std::string& name) {
  Value value;
  value.name = name;
  value.kind = kind;
  value.dtype = dtype_of(tensor.scalar_type());
  value.shape = tensor.sizes().vec();
  return graph.add_value(std::move(value));
}

Handle Builder::own(ValueId value) {
  auto handle = std::make_shared<TensorHandle>();
  handle->storage = std::make_shared<Storage>();
  handle->storage->base = value;
  handle->current = value;
  return handle;
}

ValueId Builder::append(Op op, std::vector<Value> outputs, size_t index) {
  for (auto& value : outputs) op.outputs.push_back(graph.add_value(std::move(value)));
  const ValueId result = op.outputs[index];
  graph.add_op(std::move(op));
  return result;
}

std::vector<ValueId> Builder::emit(Op op, const std::vector<at::Tensor>& results) {
  op = canonical(graph, std::move(op), results);
  op.outputs.clear();
  for (const auto& tensor : results) {
    op.outputs.push_back(add_value(tensor, ValueKind::kResult, ""));
  }
  const auto outputs = op.outputs;
  graph.add_op(std::move(op));
  return outputs;
}

Handle Builder::view(const Handle& source, const Op& op, size_t index, ValueId value) {
  auto handle = std::make_shared<TensorHandle>(*source);
  handle->chain.push_back({op, index});
  handle->current = value;
  handle->version = source->storage->version;
  return handle;
}

ValueId Builder::replay(const ViewStep& step, ValueId source) {
  Op op = step.op;
  set_source(op, source);
  std::vector<Value> outputs;
  for (ValueId output : op.outputs) {
    Value value = graph.value(output);
    value.producer = -1;
    outputs.push_back(std::move(value));
  }
  op.outputs.clear();
  return append(std::move(op), std::move(outputs), step.index);
}

ValueId Builder::read(const Handle& handle) {
  if (handle->version == handle->storage->version) return handle->current;
  ValueId value = handle->storage->base;
  for (const auto& step : handle->chain) value = replay(step, value);
  handle->current = value;
  handle->version = handle->storage->version;
  return value;
}

/// The parent of a view with the view's part replaced.
ValueId Builder::put_back(const ViewStep& step, ValueId parent, ValueId part) {
  const Op& op = step.op;
  Value like = graph.value(parent);
  like.kind = ValueKind::kResult;
  like.name.clear();
  like.producer = -1;
  const auto dims = static_cast<int64_t>(like.shape.size());
  const auto positive = [&](int64_t dim) { return dim < 0 ? dim + dims : dim; };
  const auto scatter = [&](int64_t dim, Expr start, Expr end, Expr stride) {
    return append(make_op("aten::slice_scatter", "",
                          {{"self", ValueRef{parent}},
                           {"src", ValueRef{part}},
                           {"dim", number(dim)},
                           {"start", std::move(start)},
                           {"end", std::move(end)},
                           {"step", std::move(stride)}},
                          op),
                  {like});
  };
  if (op.kind == "aten::slice") {
    const Expr start = op.has("start") ? std::get<Expr>(op.arg("start")) : number(0);
    const Expr end = op.has("end") ? std::get<Expr>(op.arg("end")) : number(INT64_MAX);
    return scatter(positive(op.integer("dim")), start, end, std::get<Expr>(op.arg("step")));
  }
  if (op.kind == "aten::select") {
    return append(make_op("aten::select_scatter", "",
                          {{"self", ValueRef{parent}},
                           {"src", ValueRef{part}},
                           {"dim", op.arg("dim")},
                           {"index", op.arg("index")}},
                          op),
                  {like});
  }
  if (op.kind == "aten::chunk" || op.kind == "aten::split" || op.kind == "aten::split_with_sizes") {
    const int64_t dim = positive(op.integer_or("dim", 0));
    int64_t start = 0;
    for (size_t i = 0; i < step.index; ++i) {
      start += graph.value(op.outputs[i]).shape[static_cast<size_t>(dim)];
    }
    const int64_t length = graph.value(op.outputs[step.index]).shape[static_cast<size_t>(dim)];
    return scatter(dim, number(start), number(start + length), number(1));
  }
  if (op.kind == "aten::unbind") {
    return append(make_op("aten::select_scatter", "",
                          {{"self", ValueRef{parent}},
                           {"src", ValueRef{part}},
                           {"dim", op.arg("dim")},
                           {"index", number(static_cast<int64_t>(step.index))}},
                          op),
                  {like});
  }
  if (op.kind == "aten::permute" || op.kind == "aten::transpose" || op.kind == "aten::t") {
    std::vector<int64_t> order(static_cast<size_t>(dims));
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    if (op.kind == "aten::permute") {
      const auto forward = op.integers("dims");
      for (size_t i = 0; i < order.size(); ++i) {
        order[static_cast<size_t>(positive(forward[i]))] = static_cast<int64_t>(i);
      }
    } else if (op.kind == "aten::transpose") {
      std::swap(order[static_cast<size_t>(positive(op.integer("dim0")))],
                order[static_cast<size_t>(positive(op.integer("dim1")))]);
    } else {
      std::reverse(order.begin(), order.end());
    }
    std::vector<Expr> dims_back;
    for (int64_t d : order) dims_back.push_back(number(d));
    return append(make_op("aten::permute", "", {{"self", ValueRef{part}}, {"dims", dims_back}}, op),
                  {like});
  }
  static const std::vector<std::string> reshapes = {
      "aten::reshape", "aten::squeeze", "aten::unsqueeze", "aten::flatten", "aten::unflatten"};
  if (std::find(reshapes.begin(), reshapes.end(), op.kind) != reshapes.end()) {
    return append(make_op("aten::reshape", "",
                          {{"self", ValueRef{part}}, {"shape", sizes_of(graph, parent)}}, op),
                  {like});
  }
  throw Error("a write into a view made by " + op.kind + " cannot be followed",
              {op.kind, op.where.text(), ""}, "views by slicing, indexing or reshaping");
}

void Builder::write(const Handle& target, ValueId value) {
  std::vector<ValueId> parents = {target->storage->base};
  for (const auto& step : target->chain) parents.push_back(replay(step, parents.back()));
  ValueId part = value;
  for (size_t i = target->chain.size(); i-- > 0;) {
    part = put_back(target->chain[i], parents[i], part);
  }
  target->storage->base = part;
  target->storage->version += 1;
  target->current = value;
  target->version = target->storage->version;
}

}  // namespace cpd::import
