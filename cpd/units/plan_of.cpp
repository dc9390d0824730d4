#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/comb/residual_blocks.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/units/plan_of.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <set>

namespace cpd {
namespace {

/// FNV-1a over eight bytes at a time; long data in four lanes, which need not wait for each other.
class Hash {
 public:
  void add(uint64_t word) { state_ = step(state_, word); }
  void add(const void* data, size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(data);
    std::array<uint64_t, 4> lanes{state_, state_ + 1, state_ + 2, state_ + 3}, words{};
    const bool is_long = bytes >= sizeof words;
    for (; bytes >= sizeof words; bytes -= sizeof words, at += sizeof words) {
      std::memcpy(words.data(), at, sizeof words);
      for (size_t i = 0; i < lanes.size(); ++i) lanes[i] = step(lanes[i], words[i]);
    }
    for (size_t i = 0; is_long && i < lanes.size(); ++i) add(lanes[i]);
    for (; bytes >= 8; bytes -= 8, at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, at, 8);
      add(word);
    }
    for (; bytes > 0; --bytes, ++at) add(uint64_t{*at});
  }
  void add(const std::string& text) {
    add(static_cast<uint64_t>(text.size()));
    add(text.data(), text.size());
  }
  std::string text() const {
    static const char digits[] = "0123456789abcdef";
    std::string result;
    for (int shift = 60; shift >= 0; shift -= 4) result += digits[(state_ >> shift) & 15];
    return result;
  }

 private:
  static uint64_t step(uint64_t state, uint64_t word) { return (state ^ word) * 1099511628211ULL; }

  uint64_t state_ = 14695981039346656037ULL;
};

std::string structure_hash(const Model& model) {
  Hash hash;
  for (const auto& entry : model.parameters) {
    hash.add(entry.name);
    hash.add(static_cast<uint64_t>(entry.value));
    for (int64_t extent : entry.tensor.sizes()) hash.add(static_cast<uint64_t>(extent));
  }
  for (const Op& op : model.graph.ops) {
    hash.add(op.kind);
    for (ValueId operand : op.operands()) hash.add(static_cast<uint64_t>(operand));
    for (ValueId output : op.outputs) hash.add(static_cast<uint64_t>(output));
  }
  for (ValueId output : model.graph.output_values()) hash.add(static_cast<uint64_t>(output));
  return hash.text();
}

/// Of large tensors, 64 bytes at 1024 places: reading all the weights of a network takes as long as
/// combing it, and other weights differ everywhere.
std::string weights_hash(const Model& model) {
  constexpr size_t kSmall = size_t{1} << 20, kPiece = 64, kPlaces = 1024;
  Hash hash;
  for (const auto& entry : model.parameters) {
    const at::Tensor tensor = entry.tensor.detach().cpu().contiguous();
    const auto* data = static_cast<const unsigned char*>(tensor.const_data_ptr());
    const size_t bytes = tensor.nbytes();
    hash.add(entry.name);
    if (bytes <= kSmall) {
      hash.add(data, bytes);
      continue;
    }
    const size_t stride = bytes / kPlaces / kPiece * kPiece;
    for (size_t at = 0; at + kPiece <= bytes; at += stride) hash.add(data + at, kPiece);
  }
  return hash.text();
}

/// An array as rows along its own dimension: one row for each position of the other dimensions.
struct Rows {
  std::vector<int64_t> along;               ///< dimensions along which rows vary, ascending
  std::vector<std::vector<int32_t>> forms;  ///< of each row
  std::vector<Indices> kept;                ///< of each row; empty if the row itself is removed
};

Rows rows_of(const FormArray& array, const std::vector<uint8_t>& kept_forms) {
  Rows rows;
  int64_t inner = 1;
  for (size_t i = 0; i < array.extents.size(); ++i) {
    const int dim = static_cast<int>(i);
    if (dim != array.dim && array.varies(dim)) rows.along.push_back(dim);
    if (dim > array.dim) inner *= array.extents[i];
  }
  const int64_t own = array.extents[static_cast<size_t>(array.dim)];
  const auto count = static_cast<int64_t>(array.entries.size()) / own;
  for (int64_t row = 0; row < count; ++row) {
    const int64_t base = (row / inner) * own * inner + row % inner;
    rows.forms.emplace_back();
    rows.kept.emplace_back();
    for (int64_t k = 0; k < own; ++k) {
      const int32_t form = array.entries[static_cast<size_t>(base + k * inner)];
      rows.forms.back().push_back(form);
      if (kept_forms[static_cast<size_t>(form)] != 0) rows.kept.back().push_back(k);
    }
  }
  return rows;
}

/// Removed rows get the list of the first kept one: nothing of them is read.
void fill_removed_rows(std::vector<Indices>& kept) {
  const auto first =
      std::find_if(kept.begin(), kept.end(), [](const Indices& list) { return !list.empty(); });
  if (first == kept.end()) return;
  for (auto& list : kept) {
    if (list.empty()) list = *first;
  }
}

bool all_equal(const std::vector<Indices>& kept) {
  return std::all_of(kept.begin(), kept.end(), [&](const Indices& k) { return k == kept[0]; });
}

/// The smallest number of equal blocks of rows whose members are the same.
size_t blocks_of(const std::vector<std::vector<int32_t>>& forms) {
  const size_t count = forms.size();
  for (size_t blocks = 1; blocks < count; ++blocks) {
    if (count % blocks != 0) continue;
    const size_t length = count / blocks;
    bool same = true;
    for (size_t i = 0; i < count && same; ++i) same = forms[i] == forms[i / length * length];
    if (same) return blocks;
  }
  return count;
}

DimensionPlan plan_of_rows(Rows rows) {
  DimensionPlan plan;
  fill_removed_rows(rows.kept);
  if (all_equal(rows.kept)) {
    plan.kept = {rows.kept.front()};
    return plan;
  }
  plan.along = rows.along;
  const size_t blocks = blocks_of(rows.forms);
  if (plan.along == std::vector<int64_t>{0} && blocks < rows.kept.size()) {
    plan.blocks = true;
    for (size_t i = 0; i < blocks; ++i) {
      plan.kept.push_back(rows.kept[i * rows.kept.size() / blocks]);
    }
    return plan;
  }
  plan.kept = std::move(rows.kept);
  return plan;
}

/// `writer, reader` for a weight that is used in both ways.
std::string role_of(const Combing& combing, ValueId parameter, int dim) {
  std::set<Role> roles;
  for (const auto& group : combing.groups) {
    for (const auto& member : group.members) {
      if (member.parameter == parameter && member.dim == dim) roles.insert(member.role);
    }
  }
  std::vector<std::string> names;
  for (Role role : roles) names.emplace_back(name_of(role));
  return joined(names);
}

UnitPlan unit_plan(const ChannelGroup& group, const Keep& keep) {
  UnitPlan unit;
  unit.of = group.of;
  for (const auto& block : group.blocks) {
    unit.kept.emplace_back();
    for (size_t i = 0; i < block.size(); ++i) {
      if (keep.kept(block[i])) unit.kept.back().push_back(static_cast<int64_t>(i));
    }
  }
  return unit;
}

void check_unit(const std::string& name, const UnitPlan& unit, const ChannelGroup* group) {
  const Where where{.path = "units." + name};
  if (group == nullptr) throw Error("the network has no such unit", where);
  if (group->kind != UnitKind::kBlocks && !unit.kept.empty() && unit.kept.front().empty()) {
    throw Error("nothing is kept", where, "at least one channel; only a block can be dropped");
  }
  if (unit.of == group->of && unit.kept.size() == group->blocks.size()) return;
  const auto size = [](size_t blocks, int64_t of) {
    return std::to_string(blocks) + " x " + std::to_string(of) + " channels";
  };
  throw Error("the unit has " + size(unit.kept.size(), unit.of) + " in the plan", where,
              size(group->blocks.size(), group->of));
}

at::Tensor integers(const Indices& values) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::kLong);
}

/// Finds, for each dimension of a cut tensor, where its elements stand in the dense one.
class Cut {
 public:
  Cut(at::IntArrayRef dense, const std::map<int64_t, DimensionPlan>& plans)
      : dense_(dense), plans_(plans), positions_(dense.size()) {
    for (size_t d = 0; d < dense.size(); ++d) resolve(d, 0);
  }

  at::Tensor flat() const {
    at::Tensor result = at::zeros({}, at::kLong);
    for (size_t d = 0; d < dense_.size(); ++d) result = result.mul(dense_[d]).add(positions_[d]);
    return result;
  }

 private:
  const at::Tensor& resolve(size_t dim, size_t depth) {
    at::Tensor& positions = positions_[dim];
    if (positions.defined()) return positions;
    if (depth > dense_.size()) throw Error("dimensions of the plan steer each other");
    const auto found = plans_.find(static_cast<int64_t>(dim));
    if (found == plans_.end()) return positions = placed(at::arange(dense_[dim], at::kLong), dim);
    const DimensionPlan& plan = found->second;
    check(plan, dim);
    if (plan.along.empty()) return positions = placed(integers(plan.kept.front()), dim);
    Indices table;
    for (const Indices& list : plan.kept) table.insert(table.end(), list.begin(), list.end());
    const auto width = static_cast<int64_t>(plan.kept.front().size());
    const at::Tensor column = placed(at::arange(width, at::kLong), dim);
    const at::Tensor index = row_of(plan, depth).mul(width).add(column);
    return positions = integers(table).index_select(0, index.reshape({-1})).view(index.sizes());
  }

  at::Tensor row_of(const DimensionPlan& plan, size_t depth) {
    if (plan.blocks) {
      const int64_t length = dense_[0] / static_cast<int64_t>(plan.kept.size());
      return resolve(0, depth + 1).div(length, "floor");
    }
    at::Tensor row;
    for (int64_t along : plan.along) {
      const at::Tensor& next = resolve(static_cast<size_t>(along), depth + 1);
      row = row.defined() ? row.mul(dense_[static_cast<size_t>(along)]).add(next) : next;
    }
    return row;
  }

  void check(const DimensionPlan& plan, size_t dim) const {
    int64_t rows = 1;
    for (int64_t along : plan.along) {
      if (along < 0 || along >= static_cast<int64_t>(dense_.size())) fail(dim);
      rows *= dense_[static_cast<size_t>(along)];
    }
    const auto lists = static_cast<int64_t>(plan.kept.size());
    if (lists == 0 || (plan.blocks ? rows % lists != 0 : rows != lists)) fail(dim);
    for (const Indices& list : plan.kept) {
      if (list.size() != plan.kept.front().size()) fail(dim);
      for (int64_t index : list) {
        if (index < 0 || index >= dense_[dim]) fail(dim);
      }
    }
  }

  [[noreturn]] void fail(size_t dim) const {
    throw Error("the kept indices of dimension " + std::to_string(dim) +
                " do not fit a tensor of this shape");
  }

  at::Tensor placed(const at::Tensor& list, size_t dim) const {
    std::vector<int64_t> shape(dense_.size(), 1);
    shape[dim] = list.numel();
    return list.view(shape);
  }

  at::IntArrayRef dense_;
  const std::map<int64_t, DimensionPlan>& plans_;
  std::vector<at::Tensor> positions_;
};

}  // namespace

ModelIdentity identity_of(const Model& model) {
  return {structure_hash(model), weights_hash(model)};
}

Plan plan_of(const Model& model, const Combing& combing, const Keep& keep) {
  Plan plan;
  plan.model = identity_of(model);
  for (const auto& group : combing.groups) {
    const UnitPlan unit = unit_plan(group, keep);
    const bool whole = std::all_of(unit.kept.begin(), unit.kept.end(), [&](const Indices& kept) {
      return static_cast<int64_t>(kept.size()) == unit.of;
    });
    if (group.offered || !whole) plan.units[group.name] = unit;
  }
  const auto forms = keep.forms(combing);
  const auto gone = DroppedBlocks(model.graph, combing, keep).parameters(model);
  for (size_t i = 0; i < model.parameters.size(); ++i) {
    const Parameter& entry = model.parameters[i];
    if (gone[i]) {
      plan.dropped.push_back(entry.name);
      plan.dropped.insert(plan.dropped.end(), entry.aliases.begin(), entry.aliases.end());
      continue;
    }
    if (entry.value < 0) continue;
    const auto& arrays = combing.dims[static_cast<size_t>(entry.value)];
    for (size_t dim = 0; dim < arrays.size(); ++dim) {
      if (arrays[dim] < 0) continue;
      const FormArray& array = combing.arrays[static_cast<size_t>(arrays[dim])];
      const bool whole = std::all_of(array.entries.begin(), array.entries.end(), [&](int32_t form) {
        return forms[static_cast<size_t>(form)] != 0;
      });
      if (whole) continue;
      DimensionPlan cut = plan_of_rows(rows_of(array, forms));
      const bool all = cut.along.empty() && static_cast<int64_t>(cut.kept.front().size()) ==
                                                entry.tensor.size(static_cast<int64_t>(dim));
      if (all) continue;
      cut.role = role_of(combing, entry.value, static_cast<int>(dim));
      plan.parameters[entry.name][static_cast<int64_t>(dim)] = std::move(cut);
    }
  }
  return plan;
}

Keep keep_of(const Plan& plan, const Model& model, const Combing& combing) {
  plan.verify();
  const std::string structure = structure_hash(model);
  if (!plan.model.structure.empty() && plan.model.structure != structure) {
    throw Error("the plan was made for another network: its structure is " + plan.model.structure,
                {.path = "model.structure"}, structure + ", that of " + model.source);
  }
  Keep keep(combing);
  for (const auto& [name, unit] : plan.units) {
    const ChannelGroup* group = combing.find(name);
    check_unit(name, unit, group);
    for (size_t b = 0; b < group->blocks.size(); ++b) {
      const Indices& kept = unit.kept[b];
      for (size_t i = 0; i < group->blocks[b].size(); ++i) {
        if (!std::binary_search(kept.begin(), kept.end(), static_cast<int64_t>(i))) {
          keep.set(group->blocks[b][i], false);
        }
      }
    }
  }
  return keep;
}

at::Tensor cut(const at::Tensor& dense, const std::map<int64_t, DimensionPlan>& dimensions) {
  if (dimensions.empty()) return dense;
  const auto last = dimensions.rbegin()->first;
  if (dimensions.begin()->first < 0 || last >= dense.dim()) {
    throw Error("the plan names dimension " + std::to_string(last) + " of a tensor with " +
                std::to_string(dense.dim()));
  }
  const at::Tensor flat = Cut(dense.sizes(), dimensions).flat();
  return dense.reshape({-1})
      .index_select(0, flat.reshape({-1}).to(dense.device()))
      .view(flat.sizes());
}

}  // namespace cpd
