#include <cpd/core/error.h>
#include <cpd/dynamic_ops/contraction.h>

#include <algorithm>
#include <array>
#include <sstream>

namespace cpd {
namespace {

/// `(3, 3)`, for one dimension `(3,)`.
std::string tuple_text(const std::vector<int64_t>& numbers) {
  std::ostringstream text;
  text << '(';
  for (size_t i = 0; i < numbers.size(); ++i) text << (i > 0 ? ", " : "") << numbers[i];
  text << (numbers.size() == 1 ? ",)" : ")");
  return text.str();
}

/// A list argument with as many entries as there are spatial dimensions.
std::vector<int64_t> spread_list(const Op& op, const std::string& name, int dims,
                                 int64_t otherwise) {
  const auto count = static_cast<size_t>(dims);
  const Arg* arg = op.find(name);
  if (arg == nullptr || !std::holds_alternative<std::vector<Expr>>(*arg)) {
    return std::vector<int64_t>(count, otherwise);
  }
  auto numbers = op.integers(name);
  if (numbers.size() == 1) numbers.resize(count, numbers.front());
  return numbers;
}

bool all_equal(const std::vector<int64_t>& numbers, int64_t number) {
  return std::all_of(numbers.begin(), numbers.end(), [&](int64_t n) { return n == number; });
}

/// Names of the two factors of a matrix product.
std::array<std::string, 2> factors_of(const Op& op) {
  static const std::array<std::array<const char*, 2>, 7> kNames{{{"mat1", "mat2"},
                                                                 {"mat", "vec"},
                                                                 {"batch1", "batch2"},
                                                                 {"self", "other"},
                                                                 {"self", "mat2"},
                                                                 {"self", "vec"},
                                                                 {"self", "tensor"}}};
  for (const auto& names : kNames) {
    if (op.find(names[0]) != nullptr && op.find(names[1]) != nullptr) return {names[0], names[1]};
  }
  throw Error("not a matrix product", {op.kind, op.where.text(), ""});
}

}  // namespace

bool DynamicConv::transposed() const {
  if (op().kind.find("transpose") != std::string::npos) return true;
  return op().has("transposed") && op().boolean("transposed");
}

void DynamicConv::run_masked(OpRun& run) const {
  const ValueId weight = run.op().tensor("weight");
  std::vector<int> summed = {transposed() ? 0 : 1};
  for (int d = 2; d < rank(weight); ++d) summed.push_back(d);
  run.run_with({{weight, run.masked(weight, summed)}});
}

std::string DynamicConv::attributes() const {
  const int dims = spatial_dims();
  const auto& weight = shape(op().tensor("weight"));
  const int64_t groups = op().integer_or("groups", 1);
  std::ostringstream text;
  text << (transposed() ? weight[0] : weight[1] * groups) << ", "
       << (transposed() ? weight[1] * groups : weight[0])
       << ", kernel_size=" << tuple_text({weight.begin() + 2, weight.end()})
       << ", stride=" << tuple_text(spread_list(op(), "stride", dims, 1));
  const auto add = [&](const std::string& argument, int64_t usual) {
    const auto numbers = spread_list(op(), argument, dims, usual);
    if (!all_equal(numbers, usual)) text << ", " << argument << '=' << tuple_text(numbers);
  };
  const Arg* padding = op().find("padding");
  if (padding != nullptr && std::holds_alternative<std::string>(*padding)) {
    text << ", padding=" << std::get<std::string>(*padding);
  } else {
    add("padding", 0);
  }
  add("dilation", 1);
  add("output_padding", 0);
  if (groups != 1) text << ", groups=" << groups;
  if (!op().has("bias")) text << ", bias=False";
  return text.str();
}

std::optional<LayerText> DynamicConv::describe() const {
  LayerText text;
  text.type = std::string("DynamicConv") + (transposed() ? "Transpose" : "") +
              std::to_string(spatial_dims()) + "d";
  text.attributes = attributes();
  const ValueId input = op().tensor("input");
  const ValueId output = op().outputs.front();
  // Without a batch the channels come first.
  text.ports = {{"in_channels", input, rank(input) - spatial_dims() - 1},
                {"out_channels", output, rank(output) - spatial_dims() - 1}};
  return text;
}

void DynamicLinear::run_masked(OpRun& run) const {
  const ValueId weight = run.op().tensor("weight");
  run.run_with({{weight, run.masked(weight, {rank(weight) - 1})}});
}

std::optional<LayerText> DynamicLinear::describe() const {
  const ValueId weight = op().tensor("weight");
  const auto& sizes = shape(weight);
  if (sizes.size() != 2) return std::nullopt;
  LayerText text;
  text.type = "DynamicLinear";
  text.attributes = "in_features=" + std::to_string(sizes[1]) +
                    ", out_features=" + std::to_string(sizes[0]) +
                    ", bias=" + (op().has("bias") ? "True" : "False");
  text.ports = {{"in_features", weight, 1}, {"out_features", weight, 0}};
  return text;
}

void DynamicMatmul::run_masked(OpRun& run) const {
  const auto names = factors_of(run.op());
  const ValueId left = run.op().tensor(names[0]);
  const ValueId right = run.op().tensor(names[1]);
  const int left_dim = rank(left) - 1;
  const int right_dim = std::max(rank(right) - 2, 0);
  if (left == right) return run.run_with({{left, run.masked(left, {left_dim, right_dim})}});
  if (run.is_parameter(right)) return run.run_with({{right, run.masked(right, {right_dim})}});
  if (run.is_parameter(left)) return run.run_with({{left, run.masked(left, {left_dim})}});
  run.run_with({{left, run.masked(left, {left_dim})}, {right, run.masked(right, {right_dim})}});
}

void DynamicEinsum::run_masked(OpRun& run) const {
  std::map<ValueId, at::Tensor> operands;
  for (const ValueId id : run.op().operands()) operands[id] = run.masks().masked(run.value(id), id);
  run.run_with(operands);
}

void DynamicAttention::run_masked(OpRun& run) const {
  const ValueId query = run.op().tensor("query");
  const ValueId key = run.op().tensor("key");
  run.run_with(
      {{query, run.masked(query, {rank(query) - 1})}, {key, run.masked(key, {rank(key) - 1})}});
}

}  // namespace cpd
