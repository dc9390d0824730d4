#include <ATen/ops/tensor.h>
#include <cpd/cost/macs.h>
#include <cpd/importance/gates.h>

#include <algorithm>
#include <map>
#include <set>

namespace cpd {
namespace {

class GateFinder {
 public:
  GateFinder(const Model& model, const Combing& combing)
      : model_(model),
        combing_(combing),
        data_(model.graph.values.size(), false),
        reads_(model.graph.values.size()) {
    for (size_t g = 0; g < combing.groups.size(); ++g) {
      for (const auto& member : combing.groups[g].members) {
        if (member.role == Role::kReader) reads_of(member.parameter).insert(g);
      }
    }
    for (ValueId input : model.graph.inputs) data_[static_cast<size_t>(input)] = true;
    for (const Op& op : model.graph.ops) follow(op);
  }

  std::vector<Gate> find() {
    for (size_t i = 0; i < model_.graph.ops.size(); ++i) {
      std::set<size_t> groups;
      for (ValueId operand : model_.graph.ops[i].operands()) {
        groups.insert(reads_of(operand).begin(), reads_of(operand).end());
      }
      add(static_cast<OpId>(i), groups);
    }
    for (size_t i = 0; i < model_.graph.ops.size(); ++i) {
      if (op_macs(model_.graph, model_.graph.ops[i]) > 0) add(static_cast<OpId>(i), ungated());
    }
    // What else ends a channel: an op that carries it no further, such as a norm over channels.
    for (size_t i = 0; i < model_.graph.ops.size(); ++i) {
      std::set<size_t> groups = ungated();
      for (ValueId output : model_.graph.ops[i].outputs) {
        for (const auto& unit : units_in(output, groups)) groups.erase(unit.group);
      }
      add(static_cast<OpId>(i), groups);
    }
    return std::move(gates_);
  }

 private:
  std::set<size_t>& reads_of(ValueId value) { return reads_[static_cast<size_t>(value)]; }
  bool is_data(ValueId value) const { return data_[static_cast<size_t>(value)]; }

  /// What is made of parameters alone (a standardised weight) reads what they do.
  void follow(const Op& op) {
    bool data = false;
    std::set<size_t> reads;
    for (ValueId operand : op.operands()) {
      data = data || is_data(operand);
      reads.insert(reads_of(operand).begin(), reads_of(operand).end());
    }
    for (ValueId output : op.outputs) {
      data_[static_cast<size_t>(output)] = data;
      if (!data) reads_of(output) = reads;
    }
  }

  std::set<size_t> ungated() const {
    std::set<size_t> groups;
    for (size_t g = 0; g < combing_.groups.size(); ++g) {
      if (gated_.count(g) == 0) groups.insert(g);
    }
    return groups;
  }

  /// Gates the first operand that follows the inputs and carries some of the groups.
  void add(OpId op, const std::set<size_t>& groups) {
    if (groups.empty()) return;
    for (ValueId operand : model_.graph.op(op).operands()) {
      if (!is_data(operand)) continue;
      auto units = units_in(operand, groups);
      if (units.empty()) continue;
      for (const auto& unit : units) gated_.insert(unit.group);
      gates_.push_back({op, operand, std::move(units)});
      return;
    }
  }

  /// Each group once, in the first array that has it: rows also stand in the columns' array.
  std::vector<GateChannels> units_in(ValueId value, const std::set<size_t>& groups) const {
    std::vector<GateChannels> result;
    std::set<size_t> left = groups;
    for (int index : combing_.dims[static_cast<size_t>(value)]) {
      if (index < 0) continue;
      const FormArray& array = combing_.arrays[static_cast<size_t>(index)];
      std::map<size_t, std::pair<std::vector<int64_t>, std::vector<int64_t>>> found;
      for (size_t p = 0; p < array.entries.size(); ++p) {
        for (Primitive primitive : combing_.forms[static_cast<size_t>(array.entries[p])]) {
          const auto [group, channel] = combing_.owner[static_cast<size_t>(primitive)];
          if (group < 0 || left.count(static_cast<size_t>(group)) == 0) continue;
          auto& [positions, channels] = found[static_cast<size_t>(group)];
          positions.push_back(static_cast<int64_t>(p));
          channels.push_back(channel);
        }
      }
      for (const auto& [group, where] : found) {
        result.push_back({group, array.extents, at::tensor(where.first, at::kLong),
                          at::tensor(where.second, at::kLong)});
        left.erase(group);
      }
    }
    return result;
  }

  const Model& model_;
  const Combing& combing_;
  std::vector<bool> data_;               ///< by value: does it follow the inputs?
  std::vector<std::set<size_t>> reads_;  ///< by value: groups that its parameters sum over
  std::set<size_t> gated_;
  std::vector<Gate> gates_;
};

}  // namespace

std::vector<Gate> gates_of(const Model& model, const Combing& combing) {
  return GateFinder(model, combing).find();
}

}  // namespace cpd
