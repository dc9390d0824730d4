#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/convolution.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

/// The operands of a convolution and where its channels are.
struct Convolution {
  ValueId input, weight, bias, output;
  int64_t groups = 1;
  bool transposed = false;
  int channel = 1;  ///< dimension of the channels; 0 without a batch
  /// One for each spatial dimension of the input; empty where a kernel slides: those positions are
  /// mixed. A kernel of the input's own size slides nowhere and sums over it.
  std::vector<std::string> spatial;
  std::vector<bool> covered;  ///< spatial dimensions that are summed over

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
      covered.push_back(rules::covers_input(rule.graph(), op, i));
      const bool slides = rule.shape(weight)[i + 2] != 1 || stride[i] != 1 || padding[i] != 0;
      spatial.push_back(slides && !covered[i] ? "" : "space" + std::to_string(i));
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

  /// Dimensions of the weight in which a position stands for several of the input.
  std::vector<int> kernel() const {
    std::vector<int> dims;
    for (size_t i = 0; i < spatial.size(); ++i) {
      if (!covered[i]) dims.push_back(2 + static_cast<int>(i));
    }
    return dims;
  }
};

/// The names with those of the spatial dimensions that are summed over, or of all others.
std::vector<std::string> with_spatial(std::vector<std::string> names, const Convolution& conv,
                                      bool summed) {
  for (size_t i = 0; i < conv.spatial.size(); ++i) {
    names.push_back(conv.covered[i] == summed ? conv.spatial[i] : "");
  }
  return names;
}

/// Names of a value with channels: (batch), [group], channel.
std::vector<std::string> channel_names(const Convolution& conv, const std::string& channel) {
  std::vector<std::string> names;
  if (conv.channel > 0) names.push_back("batch");
  if (conv.groups > 1) names.push_back("group");
  names.push_back(channel);
  return names;
}

std::vector<std::string> weight_names(const Convolution& conv) {
  std::vector<std::string> names = {"out", "in"};
  if (conv.transposed) std::swap(names[0], names[1]);
  if (conv.groups > 1) names.insert(names.begin(), "group");
  return with_spatial(names, conv, true);
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
  for (size_t i = 0; i < conv.covered.size(); ++i) {
    if (conv.covered[i]) rule.role(conv.weight, static_cast<int>(i) + 2, Role::kReader);
  }
}

std::vector<std::string> input_names(const Convolution& conv) {
  std::vector<std::string> names = channel_names(conv, "in");
  names.insert(names.end(), conv.spatial.begin(), conv.spatial.end());
  return names;
}

std::vector<Operand> operands_of(RuleContext& rule, const Convolution& conv) {
  Labels input =
      rules::mixed(rule, rule.labels(conv.input), conv.sliding(), "a kernel slides over it");
  Labels weight =
      rules::mixed(rule, rule.labels(conv.weight), conv.kernel(), "positions of a kernel");
  input = grouped(rule, input, conv.channel, conv.groups);
  if (conv.groups > 1) rule.record("input", input);
  const ValueId counted = rule.is_parameter(conv.weight) ? conv.weight : -1;
  std::vector<Operand> operands = {
      {input, input_names(conv), -1},
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
  Labels result = rule.contract(std::move(operands),
                                with_spatial(channel_names(conv, "out"), conv, false), shape);
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

bool rules::covers_input(const Graph& graph, const Op& convolution, size_t spatial) {
  if (convolution.boolean("transposed") || convolution.integer("groups") != 1) return false;
  const Shape& input = graph.value(convolution.tensor("input")).shape;
  const Shape& weight = graph.value(convolution.tensor("weight")).shape;
  const int64_t kernel = weight[spatial + 2];
  const int64_t extent = input[input.size() - (weight.size() - 2) + spatial];
  return kernel > 1 && kernel == extent && convolution.integers("padding")[spatial] == 0;
}

void add_convolution_rules(Rules& rules) {
  rules.add("aten::convolution", {comb_convolution, rewrite_convolution});
}

}  // namespace cpd
