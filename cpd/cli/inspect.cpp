#include <cpd/cli/arguments.h>
#include <cpd/cli/dot.h>
#include <cpd/cli/method_options.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/core/text.h>
#include <cpd/mutators/groups_of.h>
#include <cpd/mutators/prunable_share.h>

#include <map>

namespace cpd::cli {
namespace {

void add_inspect_options(po::options_description& options) {
  add_model_options(options);
  options.add_options()("dot", value("FILE"), "draw the network and its units for Graphviz")(
      "all", "list everything, however long")("blocks",
                                              "list residual blocks that can be dropped too");
  add_output_options(options, "groups.json, which `cpd prune --groups` takes once edited,");
}

/// At most so many lines of a list, unless `--all` is given.
std::string listed(const std::vector<std::string>& lines, bool all) {
  constexpr size_t kShown = 12;
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!all && i == kShown && lines.size() > kShown + 1) {
      return text + "  and " + std::to_string(lines.size() - kShown) + " more (--all lists them)\n";
    }
    text += "  " + lines[i] + "\n";
  }
  return text;
}

std::string shape_text(const Shape& shape) {
  std::vector<std::string> sizes;
  for (int64_t size : shape) sizes.push_back(std::to_string(size));
  return joined(sizes, "x");
}

std::string head_text(const ChannelMutator& mutator) {
  const Model& model = mutator.dense();
  const Cost cost = mutator.costs().dense();
  const PrunableShare share = prunable_share(mutator);
  std::vector<std::string> inputs;
  for (ValueId input : model.graph.inputs) {
    inputs.push_back(shape_text(model.graph.value(input).shape));
  }
  const std::string facts = facts_text(
      {{"input", joined(inputs) + (model.free.batch ? ", any batch size" : "")},
       {"ops", std::to_string(model.graph.ops.size())},
       {"parameters", count_text(static_cast<double>(cost.parameters)) + ", " +
                          percent_text(share.parameters) + " of them prunable"},
       {"MACs", count_text(static_cast<double>(cost.macs)) + " per sample, " +
                    percent_text(share.macs) + " of them in layers that shrink"},
       {"memory", bytes_text(static_cast<double>(cost.memory(1))) + " at batch 1"},
       {"units", std::to_string(mutator.units().size()) + ", " +
                     std::to_string(mutator.mutable_units().size()) + " of them prunable"}});
  std::string text = model.source + "\n" + facts;
  if (!model.free.note.empty()) text += "note: " + model.free.note + "\n";
  for (const auto& note : model.notes) text += "note: " + note + "\n";
  return text + "\n";
}

std::string channels_text(const ChannelGroup& group) {
  std::string text = std::to_string(group.of);
  if (group.blocks.size() > 1) text += " x" + std::to_string(group.blocks.size());
  return text;
}

std::string units_text(const ChannelMutator& mutator, bool all) {
  Table table({"unit", "channels", "kind", "level", "role"});
  std::vector<std::string> left;
  for (const auto& unit : mutator.units()) {
    const ChannelGroup& group = unit->group();
    if (!unit->is_mutable()) {
      left.push_back(unit->name() + ": " + unit->reason());
      continue;
    }
    table.row({unit->name(), channels_text(group), name_of(group.kind), name_of(group.level),
               group.role});
  }
  std::string text = mutator.mutable_units().empty() ? "nothing can be pruned\n" : table.text();
  if (!left.empty()) text += "\nunits that stay whole\n" + listed(left, all);
  return text + "\n";
}

/// What is locked, by op and reason, so that a network's outputs are one line.
std::string locked_text(const ChannelMutator& mutator, bool all) {
  std::map<std::string, std::vector<std::string>> by_reason;
  std::vector<std::string> order;
  for (const auto& locked : locked_of(mutator.dense(), mutator.combing())) {
    std::string reason = locked.reason;
    if (!locked.op.empty()) reason += ", at " + locked.op;
    if (!locked.source.empty()) reason += " (" + locked.source + ")";
    if (by_reason.count(reason) == 0) order.push_back(reason);
    by_reason[reason].push_back(locked.parameter + "[" + std::to_string(locked.dim) + "] " +
                                std::to_string(locked.count));
  }
  std::vector<std::string> lines;
  for (const auto& reason : order) lines.push_back(joined(by_reason[reason]) + ": " + reason);
  return lines.empty() ? "" : "locked: parameter[dimension] slices: why\n" + listed(lines, all);
}

int run_inspect(const po::variables_map& values) {
  check_outputs(values, {"output", "dot"});
  const ChannelMutator mutator(read_model(values), {.blocks = values.count("blocks") > 0});
  const bool all = values.count("all") > 0;
  std::string text = head_text(mutator) + units_text(mutator, all) + locked_text(mutator, all);
  if (!mutator.combing().unknown_ops.empty()) {
    text += "\nops without a rule, whose channels are locked\n" +
            listed(mutator.combing().unknown_ops, all);
  }
  if (given(values, "dot")) write_file(text_of(values, "dot"), dot_of(mutator));
  deliver(values, text, [&] { return to_json(groups_of(mutator)); });
  return 0;
}

}  // namespace

Command inspect_command() {
  return {"inspect",
          "MODEL",
          "Shows what a network costs, which channels go together and what is locked, and why.",
          "cpd inspect zoo:resnet20\n"
          "cpd inspect zoo:resnet20 -o groups.json --dot network.dot",
          {"MODEL"},
          1,
          add_inspect_options,
          run_inspect};
}

}  // namespace cpd::cli
