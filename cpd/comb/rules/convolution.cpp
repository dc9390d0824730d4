#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

/// The operands of a convolution and where its channels are.
struct Convolution {
  ValueId input, weight, bias, output;
  int64_t groups = 1;
  bool transposed = false;
  int channel = 1;  ///< dimension of the channels; 0 without a batch
  /// One for each spatial dimension; empty where a kernel slides: those positions are mixed.
  std::vector<std::string> spatial;

  explicit Convolution(const RuleContext& rule) {
    const Op& op = rule.op();
    input = op.tensor("input");
    weight = op.tensor("weight");
    bias = op.tensor("bias");
    output = op.outputs.front();
    groups = op.integer("groups");
    transposed = op.boolean("transposed");
    channel = rules::rank_of(rule, input) - rules::rank_of(rule, weight) + 1;
    const auto stride = op.integers("stride"), padding = op.integers("padding");
    for (size_t i = 0; i + 2 < rule.shape(weight).size(); ++i) {
      const bool slides = rule.shape(weight)[i + 2] != 1 || stride[i] != 1 || padding[i] != 0;
      spatial.push_back(slides ? "" : "space" + std::to_string(i));
    }
  }

  /// Spatial dimensions of the input over which the kernel slides.
  std::vector<int> sliding() const {
    std::vector<int> dims;
    for (size_t i = 0; i < spatial.size(); ++i) {
      if (spatial[i].empty()) dims.push_back(channel + 1 + static_cast<int>(i));
    }
    return dims;
  }
};

std::vector<std::string> with_unnamed(std::vector<std::string> names, size_t count) {
  names.insert(names.end(), count, std::string());
  return names;
}

/// Names of a value with channels: (batch), [group], channel, spatial dimensions.
std::vector<std::string> channel_names(const Convolution& conv, const std::string& channel) {
  std::vector<std::string> names;
  if (conv.channel > 0) names.push_back("batch");
  if (conv.groups > 1) names.push_back("group");
  names.push_back(channel);
  names.insert(names.end(), conv.spatial.begin(), conv.spatial.end());
  return names;
}

std::vector<std::string> weight_names(const Convolution& conv) {
  const size_t kernel = conv.spatial.size();
  if (conv.groups == 1) {
    return conv.transposed ? with_unnamed({"in", "out"}, kernel)
                           : with_unnamed({"out", "in"}, kernel);
  }
  return conv.transposed ? with_unnamed({"group", "in", "out"}, kernel)
                         : with_unnamed({"group", "out", "in"}, kernel);
}

/// Input channels are (group, in), output channels (group, out); so is dimension 0 of the weight.
Labels grouped(RuleContext& rule, const Labels& labels, int dim, int64_t groups) {
  if (groups == 1) return labels;
  return rule.split(labels, dim, groups, labels.shape[static_cast<size_t>(dim)] / groups);
}

void state_roles(RuleContext& rule, const Convolution& conv) {
  const Shape& weight = rule.shape(conv.weight);
  const bool depthwise = conv.groups > 1 && weight[0] == conv.groups && weight[1] == 1;
  const Role first = conv.transposed ? Role::kReader : Role::kWriter;
  const Role second = conv.transposed ? Role::kWriter : Role::kReader;
  rule.role(conv.weight, 0, depthwise ? Role::kAlong : first);
  rule.role(conv.weight, 1, second);
  if (conv.bias >= 0) rule.role(conv.bias, 0, Role::kAlong);
}

std::vector<Operand> operands_of(RuleContext& rule, const Convolution& conv) {
  Labels input =
      rules::mixed(rule, rule.labels(conv.input), conv.sliding(), "a kernel slides over it");
  const auto kernel = rules::int_range(2, rules::rank_of(rule, conv.weight));
  Labels weight = rules::mixed(rule, rule.labels(conv.weight), kernel, "positions of a kernel");
  input = grouped(rule, input, conv.channel, conv.groups);
  if (conv.groups > 1) rule.record("input", input);
  const ValueId counted = rule.is_parameter(conv.weight) ? conv.weight : -1;
  std::vector<Operand> operands = {
      {input, channel_names(conv, "in"), -1},
      {grouped(rule, weight, 0, conv.groups), weight_names(conv), counted}};
  if (conv.bias >= 0) {
    std::vector<std::string> names = {"out"};
    if (conv.groups > 1) names.insert(names.begin(), "group");
    operands.push_back({grouped(rule, rule.labels(conv.bias), 0, conv.groups), names, -1});
  }
  return operands;
}

void comb_convolution(RuleContext& rule) {
  const Convolution conv(rule);
  Shape shape = rule.shape(conv.output);
  const auto channel = static_cast<size_t>(conv.channel);
  if (conv.groups > 1) {
    shape[channel] /= conv.groups;
    shape.insert(shape.begin() + conv.channel, conv.groups);
  }
  auto operands = operands_of(rule, conv);
  Labels result = rule.contract(std::move(operands), channel_names(conv, "out"), shape);
  state_roles(rule, conv);
  if (conv.groups > 1) {
    rules::register_rectangles(rule, result);
    result = rule.merge(result, conv.channel);
  }
  rule.set(conv.output, result);
}

/// As many groups as rows of the input are kept.
void rewrite_convolution(RewriteContext& rewrite) {
  const Op& op = rewrite.dense_op();
  if (op.integer("groups") == 1) return;
  const auto rank = [&](ValueId v) {
    return static_cast<int>(rewrite.dense().value(v).shape.size());
  };
  const int channel = rank(op.tensor("input")) - rank(op.tensor("weight")) + 1;
  rules::set_rows(rewrite, "groups", rewrite.recorded_size("input", channel));
}

}  // namespace

void add_convolution_rules(Rules& rules) {
  rules.add("aten::convolution", {comb_convolution, rewrite_convolution});
}

}  // namespace cpd
