#include <cpd/core/error.h>
#include <cpd/units/plan_of.h>

#include <algorithm>
#include <cstring>

namespace cpd {
namespace {

/// 64-bit FNV-1a, eight bytes at a time for tensors.
class Hash {
 public:
  void add(const std::string& text) {
    for (char c : text) mix(static_cast<unsigned char>(c));
    mix(0xff);
  }
  void add(const at::Tensor& tensor) {
    const at::Tensor data = tensor.detach().contiguous();
    const auto* bytes = static_cast<const char*>(data.const_data_ptr());
    const size_t count = data.nbytes();
    uint64_t word = 0;
    for (size_t at = 0; at < count; at += sizeof(word)) {
      word = 0;
      std::memcpy(&word, bytes + at, std::min(sizeof(word), count - at));
      mix(word);
    }
  }
  std::string text() const {
    static const char* digits = "0123456789abcdef";
    std::string result;
    for (int shift = 60; shift >= 0; shift -= 4) result += digits[(state_ >> shift) & 15];
    return result;
  }

 private:
  void mix(uint64_t word) { state_ = (state_ ^ word) * 1099511628211ULL; }
  uint64_t state_ = 1469598103934665603ULL;
};

struct Rows {
  std::vector<int64_t> along;
  std::vector<int64_t> extents;  ///< of the dimensions in `along`
  std::vector<Indices> kept;     ///< one list per position of these dimensions
};

Rows rows_of(const FormArray& array, const std::vector<uint8_t>& forms) {
  Rows rows;
  int64_t inner = 1;
  for (size_t d = 0; d < array.extents.size(); ++d) {
    if (static_cast<int>(d) != array.dim && array.extents[d] > 1) {
      rows.along.push_back(static_cast<int64_t>(d));
      rows.extents.push_back(array.extents[d]);
    }
    if (static_cast<int>(d) > array.dim) inner *= array.extents[d];
  }
  const int64_t own = array.extents[static_cast<size_t>(array.dim)];
  const auto count = static_cast<int64_t>(array.entries.size()) / own;
  for (int64_t row = 0; row < count; ++row) {
    Indices kept;
    for (int64_t k = 0; k < own; ++k) {
      const auto at = static_cast<size_t>((row / inner) * own * inner + k * inner + row % inner);
      if (forms[static_cast<size_t>(array.entries[at])]) kept.push_back(k);
    }
    rows.kept.push_back(std::move(kept));
  }
  return rows;
}

/// The smallest number of equal blocks within which all rows keep the same.
size_t blocks_in(const std::vector<Indices>& rows) {
  for (size_t blocks = 1; blocks <= rows.size(); ++blocks) {
    if (rows.size() % blocks != 0) continue;
    const size_t length = rows.size() / blocks;
    bool equal = true;
    for (size_t i = 0; i < rows.size() && equal; ++i) equal = rows[i] == rows[i / length * length];
    if (equal) return blocks;
  }
  return rows.size();
}

DimensionPlan dimension_plan(const FormArray& array, const std::vector<uint8_t>& forms,
                             const std::string& role) {
  Rows rows = rows_of(array, forms);
  DimensionPlan plan;
  plan.role = role;
  if (rows.along.empty() || blocks_in(rows.kept) == 1) {
    plan.kept = {rows.kept.front()};
    return plan;
  }
  plan.along = rows.along;
  plan.kept = rows.kept;
  if (rows.along == std::vector<int64_t>{0}) {
    const size_t blocks = blocks_in(rows.kept);
    plan.blocks = true;
    plan.kept.clear();
    for (size_t b = 0; b < blocks; ++b) plan.kept.push_back(rows.kept[b * (rows.kept.size() / blocks)]);
  }
  return plan;
}

}  // namespace

ModelIdentity identity_of(const Model& model) {
  Hash structure, weights;
  for (const auto& op : model.graph.ops) structure.add(op.kind);
  for (const auto& parameter : model.parameters) {
    structure.add(parameter.name);
    for (int64_t size : parameter.tensor.sizes()) structure.add(std::to_string(size));
    weights.add(parameter.tensor);
  }
  return {structure.text(), weights.text()};
}

Plan plan_of(const Model& model, const Combing& combing, const Keep& keep) {
  Plan plan;
  plan.model = identity_of(model);
  for (const auto& group : combing.groups) {
    if (!group.offered) continue;
    UnitPlan& unit = plan.units[group.name];
    unit.of = group.of;
    for (const auto& block : group.blocks) {
      Indices kept;
      for (size_t i = 0; i < block.size(); ++i) {
        if (keep.kept(block[i])) kept.push_back(static_cast<int64_t>(i));
      }
      unit.kept.push_back(std::move(kept));
    }
  }
  const KeptSizes sizes(combing, keep);
  std::map<std::pair<ValueId, int>, Role> roles;
  for (const auto& group : combing.groups) {
    for (const auto& member : group.members) roles[{member.parameter, member.dim}] = member.role;
  }
  for (const auto& parameter : model.parameters) {
    if (parameter.value < 0) continue;
    const auto& arrays = combing.dims[static_cast<size_t>(parameter.value)];
    for (size_t d = 0; d < arrays.size(); ++d) {
      if (arrays[d] < 0 || sizes.of_array(arrays[d]) == parameter.tensor.size(static_cast<int64_t>(d))) continue;
      const auto role = roles.find({parameter.value, static_cast<int>(d)});
      plan.parameters[parameter.name][static_cast<int64_t>(d)] =
          dimension_plan(combing.arrays[static_cast<size_t>(arrays[d])], sizes.forms(),
                         role == roles.end() ? "along" : name_of(role->second));
    }
  }
  return plan;
}

Keep keep_of(const Plan& plan, const Model& model, const Combing& combing) {
  plan.verify();
  const std::string structure = identity_of(model).structure;
  if (!plan.model.structure.empty() && plan.model.structure != structure) {
    throw Error("the plan was made for another network (structure " + plan.model.structure + ")", {},
                "a plan for this one (structure " + structure + ")");
  }
  Keep keep(combing);
  for (const auto& [name, unit] : plan.units) {
    const ChannelGroup* group = combing.find(name);
    if (group == nullptr) throw Error("the plan names a unit '" + name + "' that the network does not have");
    if (group->of != unit.of || group->blocks.size() != unit.kept.size()) {
      throw Error("the plan's unit " + name + " has " + std::to_string(unit.kept.size()) + " x " +
                      std::to_string(unit.of) + " channels",
                  {}, std::to_string(group->blocks.size()) + " x " + std::to_string(group->of));
    }
    for (size_t b = 0; b < group->blocks.size(); ++b) {
      for (Primitive primitive : group->blocks[b]) keep.set(primitive, false);
      for (int64_t index : unit.kept[b]) keep.set(group->blocks[b][static_cast<size_t>(index)], true);
    }
  }
  return keep;
}

}  // namespace cpd
