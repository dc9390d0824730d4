#include <cpd/comb/combing.h>
#include <cpd/comb/engine.h>
#include <cpd/comb/grouping.h>
#include <cpd/comb/residual_blocks.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <sstream>

namespace cpd {

const char* name_of(UnitKind kind) {
  switch (kind) {
    case UnitKind::kPlain:
      return "plain";
    case UnitKind::kColumns:
      return "columns";
    case UnitKind::kRows:
      return "rows";
    case UnitKind::kCopies:
      return "copies";
    case UnitKind::kBlocks:
      return "blocks";
  }
  return "";
}

namespace {

/// Each block is a group of one channel, after all others.
void add_blocks(const Model& model, Combing& combing) {
  for (auto& block : find_residual_blocks(model)) {
    block.primitive = static_cast<Primitive>(combing.owner.size());
    combing.owner.emplace_back(static_cast<int32_t>(combing.groups.size()), 0);
    ChannelGroup group;
    group.name = block.name;
    group.kind = UnitKind::kBlocks;
    group.role = "blocks";
    group.of = 1;
    group.blocks = {{block.primitive}};
    combing.groups.push_back(std::move(group));
    combing.blocks.push_back(std::move(block));
  }
}

}  // namespace

Combing comb(const Model& model, const CombOptions& options) {
  const Rules shipped = options.rules == nullptr ? default_rules() : Rules{};
  Engine engine(model, options.rules == nullptr ? shipped : *options.rules);
  engine.propagate();
  Combing combing = group_channels(engine, options.seed);
  if (options.blocks) add_blocks(model, combing);
  return combing;
}

const ChannelGroup* Combing::find(const std::string& name) const {
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [&](const ChannelGroup& group) { return group.name == name; });
  return found == groups.end() ? nullptr : &*found;
}

std::string Combing::text(const Model& model) const {
  std::ostringstream out;
  for (const auto& group : groups) {
    out << group.name << ": " << name_of(group.kind) << " " << group.of;
    if (group.blocks.size() > 1) out << " x" << group.blocks.size();
    out << ", " << name_of(group.level);
    if (!group.offered) out << ", not offered: " << group.reason;
    out << "\n";
    for (const auto& member : group.members) {
      out << "  " << model.parameter(member.parameter).name << "[" << member.dim << "] "
          << name_of(member.role) << "\n";
    }
  }
  for (const auto& dimension : locked) {
    out << "locked: " << model.parameter(dimension.parameter).name << "[" << dimension.dim << "] "
        << dimension.count << ", " << dimension.reason;
    if (!dimension.where.text().empty()) out << " (" << dimension.where.text() << ")";
    out << "\n";
  }
  return out.str();
}

Keep::Keep(const Combing& combing) : kept_(combing.owner.size(), 1) {}

std::vector<uint8_t> Keep::forms(const Combing& combing) const {
  std::vector<uint8_t> result;
  result.reserve(combing.forms.size());
  for (const auto& form : combing.forms) {
    result.push_back(std::all_of(form.begin(), form.end(), [&](Primitive p) { return kept(p); }));
  }
  return result;
}

KeptSizes::KeptSizes(const Combing& combing, const Keep& keep)
    : combing_(&combing), forms_(keep.forms(combing)), sizes_(combing.arrays.size(), -1) {}

int64_t KeptSizes::of_array(int array) const {
  int64_t& size = sizes_[static_cast<size_t>(array)];
  if (size >= 0) return size;
  const FormArray& forms = combing_->arrays[static_cast<size_t>(array)];
  const int64_t own = forms.extents[static_cast<size_t>(forms.dim)];
  int64_t inner = 1;
  for (size_t d = static_cast<size_t>(forms.dim) + 1; d < forms.extents.size(); ++d) {
    inner *= forms.extents[d];
  }
  const int64_t rows = static_cast<int64_t>(forms.entries.size()) / own;
  int64_t expected = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t base = (row / inner) * own * inner + row % inner;
    int64_t count = 0;
    for (int64_t k = 0; k < own; ++k) {
      count += forms_[static_cast<size_t>(forms.entries[static_cast<size_t>(base + k * inner)])];
    }
    if (expected == 0) expected = count;
    if (count != 0 && count != expected) {
      throw Error("rows of a dimension keep " + std::to_string(expected) + " and " +
                      std::to_string(count) + " channels",
                  {}, "the same number in every kept row");
    }
  }
  size = expected;
  return size;
}

Shape KeptSizes::shape(const Graph& graph, ValueId value) const {
  Shape shape = graph.value(value).shape;
  const auto& arrays = combing_->dims[static_cast<size_t>(value)];
  for (size_t d = 0; d < shape.size(); ++d) {
    if (arrays[d] >= 0) shape[d] = of_array(arrays[d]);
  }
  return shape;
}

}  // namespace cpd
