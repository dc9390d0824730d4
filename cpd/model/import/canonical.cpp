#include <cpd/core/error.h>
#include <cpd/model/import/builder.h>
#include <cpd/model/scalar_type.h>

#include <cmath>
#include <functional>
#include <map>

namespace cpd::import {
namespace {

Expr number(int64_t value) { return Expr::constant(value); }
Expr flag(bool value) { return Expr::constant(value); }

std::vector<Expr> repeated(const Arg& arg, size_t count) {
  auto list = std::get<std::vector<Expr>>(arg);
  if (list.size() == 1) list.resize(count, list.front());
  return list;
}

std::vector<Expr> result_sizes(const Graph& graph, const Op& op,
                               const std::vector<at::Tensor>& results, ValueId like) {
  static_cast<void>(op);
  std::vector<Expr> sizes;
  const auto shape = results.front().sizes();
  for (size_t d = 0; d < shape.size(); ++d) {
    sizes.push_back(graph.value(like).kind == ValueKind::kParameter
                        ? number(shape[d])
                        : Expr::size(like, static_cast<int>(d), shape[d]));
  }
  return sizes;
}

Op replaced(const Op& op, const std::string& kind, const std::string& overload,
            std::vector<NamedArg> args) {
  return {kind, overload, std::move(args), {}, op.where, op.scope};
}

std::vector<Expr> same_padding(const Graph& graph, const Op& op, size_t spatial) {
  const std::string& text = std::get<std::string>(op.arg("padding"));
  std::vector<Expr> padding;
  const Shape& weight = graph.value(op.tensor("weight")).shape;
  const auto dilation = repeated(op.arg("dilation"), spatial);
  for (size_t d = 0; d < spatial; ++d) {
    const int64_t total = text == "valid" ? 0 : dilation[d].dense_int() * (weight[d + 2] - 1);
    if (total % 2 != 0) {
      throw Error("padding='same' with an even kernel pads unevenly",
                  {op.kind, op.where.text(), ""}, "an odd kernel, or explicit padding");
    }
    padding.push_back(number(total / 2));
  }
  return padding;
}

Op convolution(const Graph& graph, const Op& op) {
  const size_t spatial = graph.value(op.tensor("weight")).shape.size() - 2;
  const bool underscore = op.kind == "aten::_convolution";
  const bool transposed =
      underscore ? op.boolean("transposed") : op.kind.find("transpose") != std::string::npos;
  const bool text = std::holds_alternative<std::string>(op.arg("padding"));
  std::vector<Expr> output_padding(spatial, number(0));
  if (op.has("output_padding")) output_padding = repeated(op.arg("output_padding"), spatial);
  return replaced(
      op, "aten::convolution", "",
      {{"input", op.arg("input")},
       {"weight", op.arg("weight")},
       {"bias", op.arg("bias")},
       {"stride", repeated(op.arg("stride"), spatial)},
       {"padding", text ? same_padding(graph, op, spatial) : repeated(op.arg("padding"), spatial)},
       {"dilation", repeated(op.arg("dilation"), spatial)},
       {"transposed", flag(transposed)},
       {"output_padding", output_padding},
       {"groups", op.arg("groups")}});
}

/// The parameter of which a value is the plain transpose; -1 if it is none.
ValueId transposed_parameter(const Graph& graph, ValueId value) {
  const OpId producer = graph.value(value).producer;
  if (producer < 0 || graph.value(value).shape.size() != 2) return -1;
  const Op& op = graph.op(producer);
  if (op.kind != "aten::t" && op.kind != "aten::transpose" && op.kind != "aten::numpy_T") return -1;
  const ValueId source = op.operands().front();
  return graph.value(source).kind == ValueKind::kParameter ? source : -1;
}

Op linear(const Op& op, const Arg& input, ValueId weight, const Arg& bias) {
  return replaced(op, "aten::linear", "",
                  {{"input", input}, {"weight", ValueRef{weight}}, {"bias", bias}});
}

Op addmm(const Graph& graph, const Op& op, const std::vector<at::Tensor>&) {
  const ValueId weight = transposed_parameter(graph, op.tensor("mat2"));
  const bool plain = op.real("beta") == 1 && op.real("alpha") == 1;
  const bool row = graph.value(op.tensor("self")).shape.size() == 1;
  return weight >= 0 && plain && row ? linear(op, op.arg("mat1"), weight, op.arg("self")) : op;
}

Op matmul(const Graph& graph, const Op& op, const std::vector<at::Tensor>&) {
  const auto operands = op.operands();
  const ValueId weight = transposed_parameter(graph, operands[1]);
  if (weight < 0 || graph.value(operands[0]).shape.size() < 2) return op;
  return linear(op, ValueRef{operands[0]}, weight, std::monostate{});
}

Op batch_norm(const Graph&, Op op, const std::vector<at::Tensor>&) {
  if (op.has("running_mean")) op.set("training", Expr::training());
  return op;
}

Op instance_norm(const Graph&, Op op, const std::vector<at::Tensor>&) {
  if (op.has("running_mean")) op.set("use_input_stats", Expr::training());
  return op;
}

Op dropout(const Graph&, Op op, const std::vector<at::Tensor>&) {
  op.set("train", Expr::training());
  return op;
}

Op attention(const Graph& graph, Op op, const std::vector<at::Tensor>&) {
  if (!op.has("scale")) {
    const auto width = static_cast<double>(graph.value(op.tensor("query")).shape.back());
    op.set("scale", Expr::constant(1.0 / std::sqrt(width)));
  }
  return op;
}

Op reshape(const Graph& graph, const Op& op, const std::vector<at::Tensor>& results) {
  if (op.kind == "aten::view_as" || op.kind == "aten::reshape_as") {
    return replaced(op, "aten::reshape", "",
                    {{"self", op.arg("self")},
                     {"shape", result_sizes(graph, op, results, op.tensor("other"))}});
  }
  if (op.kind == "aten::view" && !op.overload.empty()) return op;  // another dtype, not a shape
  return replaced(
      op, "aten::reshape", "",
      {{"self", op.arg("self")}, {"shape", op.arg(op.kind == "aten::reshape" ? "shape" : "size")}});
}

Op expand(const Graph& graph, const Op& op, const std::vector<at::Tensor>& results) {
  return replaced(op, "aten::expand", "",
                  {{"self", op.arg("self")},
                   {"size", result_sizes(graph, op, results, op.tensor("other"))},
                   {"implicit", flag(false)}});
}

Op cast(const Graph&, const Op& op, const std::vector<at::Tensor>& results) {
  return replaced(op, "aten::to", "dtype",
                  {{"self", op.args.front().value},
                   {"dtype", number(static_cast<int64_t>(results.front().scalar_type()))},
                   {"non_blocking", flag(false)},
                   {"copy", flag(false)},
                   {"memory_format", std::monostate{}}});
}

using Canonicaliser = std::function<Op(const Graph&, Op, const std::vector<at::Tensor>&)>;

const std::map<std::string, Canonicaliser>& canonicalisers() {
  static const Canonicaliser convolutions = [](const Graph& graph, const Op& op,
                                               const std::vector<at::Tensor>&) {
    return convolution(graph, op);
  };
  static const std::map<std::string, Canonicaliser> table = {
      {"aten::conv1d", convolutions},
      {"aten::conv2d", convolutions},
      {"aten::conv3d", convolutions},
      {"aten::_convolution", convolutions},
      {"aten::conv_transpose1d", convolutions},
      {"aten::conv_transpose2d", convolutions},
      {"aten::conv_transpose3d", convolutions},
      {"aten::addmm", addmm},
      {"aten::matmul", matmul},
      {"aten::mm", matmul},
      {"aten::batch_norm", batch_norm},
      {"aten::instance_norm", instance_norm},
      {"aten::dropout", dropout},
      {"aten::feature_dropout", dropout},
      {"aten::alpha_dropout", dropout},
      {"aten::feature_alpha_dropout", dropout},
      {"aten::scaled_dot_product_attention", attention},
      {"aten::view", reshape},
      {"aten::_unsafe_view", reshape},
      {"aten::view_as", reshape},
      {"aten::reshape_as", reshape},
      {"aten::expand_as", expand},
      {"aten::to", cast},
      {"aten::type_as", cast},
      {"aten::_to_copy", cast},
  };
  return table;
}

}  // namespace

Op canonical(const Graph& graph, Op op, const std::vector<at::Tensor>& results) {
  const auto found = canonicalisers().find(op.kind);
  return found == canonicalisers().end() ? op : found->second(graph, op, results);
}

std::string functional_kind(const std::string& kind) {
  static const std::map<std::string, std::string> irregular = {
      {"aten::__iand__", "aten::__and__"}, {"aten::__ior__", "aten::__or__"},
      {"aten::__ixor__", "aten::__xor__"}, {"aten::_index_put_impl_", "aten::index_put"},
      {"aten::zero_", "aten::zero"},
  };
  const auto found = irregular.find(kind);
  if (found != irregular.end()) return found->second;
  return kind.back() == '_' ? kind.substr(0, kind.size() - 1) : kind;
}

}  // namespace cpd::import
