#include <cpd/comb/grouping.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <boost/container_hash/hash.hpp>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/connected_components.hpp>
#include <random>
#include <unordered_map>

namespace cpd {
namespace {

using Form = std::vector<Label>;

struct ArrayKey {
  LabelArray array;
  int dim;
  bool operator==(const ArrayKey&) const = default;
};

struct ArrayHash {
  size_t operator()(const ArrayKey& key) const {
    uint64_t hash = 1469598103934665603ULL ^ static_cast<uint64_t>(key.dim);
    const auto mix = [&](int64_t x) {
      hash = (hash ^ static_cast<uint64_t>(x)) * 1099511628211ULL;
    };
    for (int64_t extent : key.array.extents) mix(extent);
    for (Label label : key.array.entries) mix(label);
    return hash;
  }
};

/// Distinct arrays by content.
class ArrayTable {
 public:
  int add(LabelArray array, int dim) {
    const auto [found, is_new] =
        numbers_.try_emplace({std::move(array), dim}, static_cast<int>(list_.size()));
    if (is_new) list_.push_back(&found->first);
    return found->second;
  }
  size_t size() const { return list_.size(); }
  const ArrayKey& operator[](size_t i) const { return *list_[i]; }

 private:
  std::unordered_map<ArrayKey, int, ArrayHash> numbers_;
  std::vector<const ArrayKey*> list_;
};

/// Positions of an array as rows (all other dimensions) x columns (its own dimension).
struct RowView {
  size_t rows = 0, columns = 0;
  std::vector<size_t> offsets;  ///< row-major rows x columns

  RowView(const Shape& extents, int dim) {
    size_t inner = 1;
    for (size_t d = static_cast<size_t>(dim) + 1; d < extents.size(); ++d) {
      inner *= static_cast<size_t>(extents[d]);
    }
    columns = static_cast<size_t>(extents[static_cast<size_t>(dim)]);
    size_t total = 1;
    for (int64_t extent : extents) total *= static_cast<size_t>(extent);
    rows = total / columns;
    offsets.reserve(total);
    for (size_t row = 0; row < rows; ++row) {
      const size_t outer = row / inner, in = row % inner;
      for (size_t k = 0; k < columns; ++k) offsets.push_back((outer * columns + k) * inner + in);
    }
  }
  size_t at(size_t row, size_t column) const { return offsets[row * columns + column]; }
};

class Interner {
 public:
  int operator()(std::vector<int64_t> key) {
    return numbers_.try_emplace(std::move(key), static_cast<int>(numbers_.size())).first->second;
  }
  size_t size() const { return numbers_.size(); }

 private:
  std::unordered_map<std::vector<int64_t>, int, boost::hash<std::vector<int64_t>>> numbers_;
};

using Components = boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS>;

/// One attempt at groups from the engine's present labels.
class Grouping {
 public:
  explicit Grouping(Engine& engine) : engine_(engine), forest_(engine.forest()) {}

  void collect();
  bool unify_like_rows();
  void sign();
  void find_partners();
  void refine();
  bool align_unfit_ties();
  bool settle(uint64_t seed);
  Combing finish();

 private:
  struct Partner {
    int64_t edge;
    int other;
  };
  size_t number(Label primitive) const {
    return static_cast<size_t>(numbers_[static_cast<size_t>(primitive)]);
  }
  void collect_primitives();
  void add_cells(std::vector<std::vector<int64_t>>& signature);
  void add_dimension_sets(std::vector<std::vector<int64_t>>& signature);
  bool pair_rows(size_t rectangle, size_t row, std::span<const Label> first,
                 std::span<const Label> other);
  void number_families();
  std::vector<uint8_t> draw(std::mt19937_64& random, bool smallest) const;
  bool respects(const std::vector<uint8_t>& kept);
  void lock_first(const ArrayKey& array);
  std::vector<ChannelGroup> make_groups(Combing& combing);
  void add_members(Combing& combing);
  void find_locked(Combing& combing);
  void give_roles(Combing& combing);

  Engine& engine_;
  Forest& forest_;
  ArrayTable arrays_;
  std::vector<std::vector<int>> dims_;
  std::vector<std::map<std::string, Combing::Record>> records_;
  std::vector<int> rectangles_;
  std::vector<Label> primitives_;
  std::vector<int> numbers_;  ///< primitive root -> its position in primitives_, or -1
  std::vector<int> colour_;
  std::vector<std::vector<Partner>> partners_;
  std::vector<std::vector<int>> blocks_;  ///< colour -> primitives by number
  std::vector<int> family_;               ///< colour -> family of tied blocks
};

void Grouping::collect() {
  const auto add = [&](const Labels& labels) {
    std::vector<int> result(labels.dims.size(), -1);
    for (size_t d = 0; d < labels.dims.size(); ++d) {
      const LabelArray& array = labels.dims[d];
      if (array.none()) continue;
      const int dim = static_cast<int>(d);
      result[d] = arrays_.add(widened(array, dim, labels.shape[d]), dim);
    }
    return result;
  };
  for (size_t v = 0; v < engine_.graph().values.size(); ++v) {
    dims_.push_back(add(engine_.labels(static_cast<ValueId>(v))));
  }
  records_.resize(engine_.records().size());
  for (size_t op = 0; op < records_.size(); ++op) {
    for (const auto& [key, labels] : engine_.records()[op]) {
      records_[op][key] = {labels.shape, add(engine_.canonical(labels))};
    }
  }
  std::set<int> rectangles;
  const auto consider = [&](int id) {
    const ArrayKey& key = arrays_[static_cast<size_t>(id)];
    const int64_t own = key.array.extents[static_cast<size_t>(key.dim)];
    if (static_cast<int64_t>(key.array.entries.size()) > own) rectangles.insert(id);
  };
  for (const auto& rectangle : engine_.rectangles()) {
    const LabelArray array = engine_.canonical(rectangle.array);
    if (!array.none() && array.varies(rectangle.dim)) consider(arrays_.add(array, rectangle.dim));
  }
  for (size_t i = 0; i < arrays_.size(); ++i) consider(static_cast<int>(i));
  rectangles_.assign(rectangles.begin(), rectangles.end());
  collect_primitives();
}

void Grouping::collect_primitives() {
  std::vector<bool> seen(arrays_.size(), false);
  const auto see = [&](size_t id) {
    if (seen[id]) return;
    seen[id] = true;
    for (Label label : arrays_[id].array.entries) {
      for (Label primitive : forest_.normal_form(label)) {
        if (numbers_.size() <= static_cast<size_t>(primitive)) {
          numbers_.resize(static_cast<size_t>(primitive) + 1, -1);
        }
        int& number = numbers_[static_cast<size_t>(primitive)];
        if (number >= 0) continue;
        number = static_cast<int>(primitives_.size());
        primitives_.push_back(primitive);
      }
    }
  };
  for (const auto& parameter : engine_.model().parameters) {
    if (parameter.value < 0) continue;
    for (int id : dims_[static_cast<size_t>(parameter.value)]) {
      if (id >= 0) see(static_cast<size_t>(id));
    }
  }
  for (size_t i = 0; i < arrays_.size(); ++i) see(i);
}

bool Grouping::unify_like_rows() {
  const int64_t before = forest_.version();
  for (int id : rectangles_) {
    const ArrayKey key = arrays_[static_cast<size_t>(id)];
    const RowView view(key.array.extents, key.dim);
    Components columns(view.columns);
    for (size_t row = 0; row < view.rows; ++row) {
      std::map<Label, size_t> first;
      for (size_t k = 0; k < view.columns; ++k) {
        const Label label = key.array.entries[view.at(row, k)];
        const auto [found, is_new] = first.try_emplace(label, k);
        if (!is_new) boost::add_edge(found->second, k, columns);
      }
    }
    if (boost::num_edges(columns) == 0) continue;
    std::vector<int> component(view.columns);
    boost::connected_components(columns, component.data());
    for (size_t row = 0; row < view.rows; ++row) {
      std::map<int, Label> first;
      for (size_t k = 0; k < view.columns; ++k) {
        const Label label = key.array.entries[view.at(row, k)];
        const auto [found, is_new] = first.try_emplace(component[k], label);
        if (!is_new) forest_.unify(found->second, label, {-1, "rows of a rectangle pair up"});
      }
    }
  }
  return forest_.version() != before;
}

void Grouping::sign() {
  std::vector<std::vector<int64_t>> signature(primitives_.size());
  for (auto& entry : signature) entry.reserve(16);
  // Dimensions with the same array are one for the signature: they see the same of every primitive.
  std::vector<bool> seen(arrays_.size(), false);
  std::vector<int64_t> counts(primitives_.size(), 0);
  for (const auto& [value, labels] : engine_.atoms()) {
    for (int id : dims_[static_cast<size_t>(value)]) {
      if (id < 0 || seen[static_cast<size_t>(id)]) continue;
      seen[static_cast<size_t>(id)] = true;
      const auto& entries = arrays_[static_cast<size_t>(id)].array.entries;
      for (Label label : entries) {
        for (Label primitive : forest_.normal_form(label)) counts[number(primitive)] += 1;
      }
      for (Label label : entries) {
        for (Label primitive : forest_.normal_form(label)) {
          int64_t& count = counts[number(primitive)];
          if (count == 0) continue;
          signature[number(primitive)].push_back(id);
          signature[number(primitive)].push_back(count);
          count = 0;
        }
      }
    }
  }
  for (auto& entry : signature) entry.push_back(-1);
  add_cells(signature);
  add_dimension_sets(signature);
  Interner intern;
  colour_.resize(primitives_.size());
  for (size_t p = 0; p < primitives_.size(); ++p) {
    signature[p].push_back(static_cast<int64_t>(forest_.kind(primitives_[p])));
    colour_[p] = intern(std::move(signature[p]));
  }
}

void Grouping::add_cells(std::vector<std::vector<int64_t>>& signature) {
  for (int id : rectangles_) {
    const ArrayKey& key = arrays_[static_cast<size_t>(id)];
    const RowView view(key.array.extents, key.dim);
    std::map<size_t, std::map<int64_t, int64_t>> cells;  // primitive -> row -> multiplicity
    for (size_t row = 0; row < view.rows; ++row) {
      for (size_t k = 0; k < view.columns; ++k) {
        for (Label primitive : forest_.normal_form(key.array.entries[view.at(row, k)])) {
          cells[number(primitive)][static_cast<int64_t>(row)] += 1;
        }
      }
    }
    for (const auto& [p, rows] : cells) {
      const int64_t times = rows.begin()->second;
      const bool everywhere = rows.size() == view.rows &&
                              std::all_of(rows.begin(), rows.end(),
                                          [&](const auto& cell) { return cell.second == times; });
      signature[p].push_back(id);
      if (everywhere) {
        signature[p].insert(signature[p].end(), {-1, times});
        continue;
      }
      for (const auto& [row, count] : rows) signature[p].insert(signature[p].end(), {row, count});
    }
  }
  for (auto& entry : signature) entry.push_back(-2);
}

void Grouping::add_dimension_sets(std::vector<std::vector<int64_t>>& signature) {
  std::set<std::vector<size_t>> sets;
  for (size_t i = 0; i < arrays_.size(); ++i) {
    const auto& entries = arrays_[i].array.entries;
    if (std::find(entries.begin(), entries.end(), 0) != entries.end()) continue;
    std::vector<size_t> members;
    for (Label label : entries) {
      for (Label primitive : forest_.normal_form(label)) members.push_back(number(primitive));
    }
    std::sort(members.begin(), members.end());
    members.erase(std::unique(members.begin(), members.end()), members.end());
    sets.insert(std::move(members));
  }
  int64_t index = 0;
  for (const auto& members : sets) {
    for (size_t p : members) signature[p].push_back(index);
    ++index;
  }
}

/// Partners at one position of two rows; false if labels had to be locked.
bool Grouping::pair_rows(size_t rectangle, size_t row, std::span<const Label> first,
                         std::span<const Label> other) {
  Form only_first, only_other;
  std::set_difference(first.begin(), first.end(), other.begin(), other.end(),
                      std::back_inserter(only_first));
  std::set_difference(other.begin(), other.end(), first.begin(), first.end(),
                      std::back_inserter(only_other));
  const auto by_kind = [&](Label a, Label b) {
    return forest_.kind(a) != forest_.kind(b) ? forest_.kind(a) > forest_.kind(b) : a < b;
  };
  std::sort(only_first.begin(), only_first.end(), by_kind);
  std::sort(only_other.begin(), only_other.end(), by_kind);
  if (only_first.size() == only_other.size()) {
    const int64_t edge = static_cast<int64_t>(rectangle) * 100000 + static_cast<int64_t>(row) + 1;
    for (size_t i = 0; i < only_first.size(); ++i) {
      const size_t a = number(only_first[i]), b = number(only_other[i]);
      partners_[a].push_back({edge, static_cast<int>(b)});
      partners_[b].push_back({-edge, static_cast<int>(a)});
    }
    return true;
  }
  Form difference = only_first;
  difference.insert(difference.end(), only_other.begin(), only_other.end());
  const bool rows = std::any_of(difference.begin(), difference.end(), [&](Label label) {
    return forest_.kind(label) == PrimitiveKind::kRow;
  });
  const LockReason reason{-1, "rows of a rectangle do not nest"};
  for (Label label : difference) {
    if (!rows || forest_.kind(label) == PrimitiveKind::kRow) forest_.lock(label, reason);
  }
  return false;
}

void Grouping::find_partners() {
  partners_.assign(primitives_.size(), {});
  for (size_t r = 0; r < rectangles_.size(); ++r) {
    const ArrayKey& key = arrays_[static_cast<size_t>(rectangles_[r])];
    const RowView view(key.array.extents, key.dim);
    for (size_t row = 1; row < view.rows; ++row) {
      for (size_t k = 0; k < view.columns; ++k) {
        const Label a = key.array.entries[view.at(0, k)], b = key.array.entries[view.at(row, k)];
        if (a == b) continue;
        if (!pair_rows(r, row, forest_.normal_form(a), forest_.normal_form(b))) return;
      }
    }
  }
}

void Grouping::refine() {
  size_t colours = 0;
  while (true) {
    Interner intern;
    std::vector<int> next(colour_.size());
    for (size_t p = 0; p < colour_.size(); ++p) {
      std::set<std::pair<int64_t, int>> around;
      for (const auto& partner : partners_[p]) {
        around.insert({partner.edge, colour_[static_cast<size_t>(partner.other)]});
      }
      std::vector<int64_t> key = {colour_[p]};
      for (const auto& [edge, colour] : around) key.insert(key.end(), {edge, colour});
      next[p] = intern(std::move(key));
    }
    colour_ = next;
    if (intern.size() == colours) break;
    colours = intern.size();
  }
  blocks_.assign(colours, {});
  for (size_t p = 0; p < colour_.size(); ++p) {
    blocks_[static_cast<size_t>(colour_[p])].push_back(static_cast<int>(p));
  }
  number_families();
}

void Grouping::number_families() {
  Components ties(blocks_.size());
  for (size_t p = 0; p < colour_.size(); ++p) {
    for (const auto& partner : partners_[p]) {
      boost::add_edge(static_cast<size_t>(colour_[p]),
                      static_cast<size_t>(colour_[static_cast<size_t>(partner.other)]), ties);
    }
  }
  family_.resize(blocks_.size());
  boost::connected_components(ties, family_.data());
}

bool Grouping::align_unfit_ties() {
  std::map<int, std::set<size_t>> sizes;
  std::map<int, int> count;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    sizes[family_[b]].insert(blocks_[b].size());
    count[family_[b]] += 1;
  }
  bool changed = false;
  for (size_t p = 0; p < colour_.size(); ++p) {
    const int family = family_[static_cast<size_t>(colour_[p])];
    const auto& of = sizes[family];
    if (count[family] == 1 || (of.size() == 1 && *of.begin() > 1)) continue;
    for (const auto& partner : partners_[p]) {
      forest_.unify(primitives_[p], primitives_[static_cast<size_t>(partner.other)],
                    {-1, "tied rows that cannot keep equal numbers"});
      changed = true;
    }
  }
  return changed;
}

std::vector<uint8_t> Grouping::draw(std::mt19937_64& random, bool smallest) const {
  std::vector<uint8_t> kept(primitives_.size(), 0);
  std::map<int, size_t> number_of_family;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const size_t of = blocks_[b].size();
    const auto [found, is_new] = number_of_family.try_emplace(family_[b], 1);
    if (is_new && !smallest && of > 1) found->second = 1 + random() % (of - 1);
    std::vector<int> order = blocks_[b];
    std::shuffle(order.begin(), order.end(), random);
    for (size_t i = 0; i < found->second; ++i) kept[static_cast<size_t>(order[i])] = 1;
  }
  return kept;
}

void Grouping::lock_first(const ArrayKey& array) {
  forest_.lock(array.array.entries.front(), {-1, "a dimension would become empty without it"});
}

/// Checks every array under one plan; repairs the first kind of break found. True if none was.
/// An array of one row only has to keep something.
bool Grouping::respects(const std::vector<uint8_t>& kept) {
  const auto is_kept = [&](Label label) {
    for (Label primitive : forest_.normal_form(label)) {
      if (!kept[number(primitive)]) return false;
    }
    return true;
  };
  for (size_t i = 0; i < arrays_.size(); ++i) {
    const ArrayKey& key = arrays_[i];
    const auto& entries = key.array.entries;
    const int64_t own = key.array.extents[static_cast<size_t>(key.dim)];
    if (static_cast<int64_t>(entries.size()) == own) {
      if (std::any_of(entries.begin(), entries.end(), is_kept)) continue;
      lock_first(key);
      return false;
    }
    const RowView view(key.array.extents, key.dim);
    size_t expected = 0;
    for (size_t row = 0; row < view.rows; ++row) {
      size_t count = 0;
      for (size_t k = 0; k < view.columns; ++k)
        count += is_kept(key.array.entries[view.at(row, k)]);
      if (expected == 0) expected = count;
      if (count != 0 && count != expected) {
        const LabelArray whole = key.array;
        for (size_t d = 0; d < whole.extents.size(); ++d) {
          if (static_cast<int>(d) != key.dim) engine_.align(whole, static_cast<int>(d));
        }
        return false;
      }
    }
    if (expected == 0) {
      lock_first(key);
      return false;
    }
  }
  return true;
}

bool Grouping::settle(uint64_t seed) {
  std::mt19937_64 random(seed);
  for (int plan = 0; plan < 8; ++plan) {
    if (!respects(draw(random, plan < 2))) return false;
  }
  return true;
}

std::string layer_of(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? parameter : parameter.substr(0, dot);
}

UnitKind kind_of(const ChannelGroup& group, PrimitiveKind kind) {
  if (kind == PrimitiveKind::kRow) return UnitKind::kRows;
  if (kind == PrimitiveKind::kCopy) return UnitKind::kCopies;
  return group.blocks.size() > 1 ? UnitKind::kColumns : UnitKind::kPlain;
}

/// Copies that a layer writes: query heads of a group, or channels that met repeated ones.
UnitKind kind_of_written_copies(const ChannelGroup& group, const Member& writer) {
  const size_t channels = group.blocks.size() * static_cast<size_t>(group.of);
  if (writer.entries.size() > channels) return UnitKind::kRows;
  return group.blocks.size() > 1 ? UnitKind::kColumns : UnitKind::kPlain;
}

std::vector<ChannelGroup> Grouping::make_groups(Combing& combing) {
  std::map<int, std::vector<std::vector<int>>> families;
  for (size_t b = 0; b < blocks_.size(); ++b) families[family_[b]].push_back(blocks_[b]);
  std::vector<std::vector<std::vector<int>>> ordered;
  for (auto& [family, blocks] : families) {
    std::sort(blocks.begin(), blocks.end());
    ordered.push_back(blocks);
  }
  std::sort(ordered.begin(), ordered.end());
  std::vector<ChannelGroup> groups;
  combing.owner.assign(primitives_.size(), {-1, -1});
  for (const auto& blocks : ordered) {
    ChannelGroup group;
    group.of = static_cast<int64_t>(blocks.front().size());
    for (size_t b = 0; b < blocks.size(); ++b) {
      group.blocks.emplace_back(blocks[b].begin(), blocks[b].end());
      for (size_t i = 0; i < blocks[b].size(); ++i) {
        combing.owner[static_cast<size_t>(blocks[b][i])] = {
            static_cast<int32_t>(groups.size()), static_cast<int32_t>(b * blocks[b].size() + i)};
        const Label primitive = primitives_[static_cast<size_t>(blocks[b][i])];
        group.level = std::max(group.level, forest_.level(primitive));
      }
    }
    group.kind = kind_of(group, forest_.kind(primitives_[static_cast<size_t>(blocks[0][0])]));
    groups.push_back(std::move(group));
  }
  return groups;
}

void Grouping::add_members(Combing& combing) {
  const auto roles = engine_.roles();
  for (const auto& parameter : engine_.model().parameters) {
    if (parameter.value < 0) continue;
    const auto& arrays = combing.dims[static_cast<size_t>(parameter.value)];
    for (size_t d = 0; d < arrays.size(); ++d) {
      if (arrays[d] < 0) continue;
      const auto& entries = combing.arrays[static_cast<size_t>(arrays[d])].entries;
      std::map<int32_t, Member> members;
      auto last = members.end();
      for (size_t at = 0; at < entries.size(); ++at) {
        for (Primitive primitive : combing.forms[static_cast<size_t>(entries[at])]) {
          const auto [group, channel] = combing.owner[static_cast<size_t>(primitive)];
          if (last == members.end() || last->first != group)
            last = members.try_emplace(group).first;
          last->second.entries.emplace_back(static_cast<int64_t>(at), channel);
        }
      }
      for (auto& [group, member] : members) {
        member.parameter = parameter.value;
        member.dim = static_cast<int>(d);
        member.array = arrays[d];
        const auto found = roles.find({parameter.value, static_cast<int>(d)});
        for (Role role : found == roles.end() ? std::set<Role>{Role::kAlong} : found->second) {
          member.role = role;
          combing.groups[static_cast<size_t>(group)].members.push_back(member);
        }
      }
    }
  }
}

void name_groups(Combing& combing, const Model& model) {
  std::map<std::string, int> taken;
  for (auto& group : combing.groups) {
    std::set<std::string> outputs, inputs;
    const Member* first = nullptr;
    for (const auto& member : group.members) {
      const std::string layer = layer_of(model.parameter(member.parameter).name);
      (member.role == Role::kReader ? inputs : outputs).insert(layer);
      if (first == nullptr || (first->role != Role::kWriter && member.role == Role::kWriter)) {
        first = &member;
      }
    }
    if (group.kind == UnitKind::kCopies && first != nullptr && first->role == Role::kWriter) {
      group.kind = kind_of_written_copies(group, *first);
    }
    for (const auto& layer : outputs) inputs.erase(layer);
    group.outputs = static_cast<int>(outputs.size());
    group.inputs = static_cast<int>(inputs.size());
    int64_t low = 0, high = group.of;
    std::string layer = "value";
    if (first != nullptr) {
      layer = layer_of(model.parameter(first->parameter).name);
      const auto& array = combing.arrays[static_cast<size_t>(first->array)];
      int64_t inner = 1;
      for (size_t d = static_cast<size_t>(first->dim) + 1; d < array.extents.size(); ++d) {
        inner *= array.extents[d];
      }
      const int64_t own = array.extents[static_cast<size_t>(first->dim)];
      low = own;
      high = 0;
      for (const auto& [at, channel] : first->entries) {
        low = std::min(low, (at / inner) % own);
        high = std::max(high, (at / inner) % own + 1);
      }
    }
    group.name = layer + "_(" + std::to_string(low) + ", " + std::to_string(high) + ")_out_" +
                 std::to_string(group.outputs) + "_in_" + std::to_string(group.inputs);
    const int times = taken[group.name]++;
    if (times > 0 && group.kind == UnitKind::kRows && taken[group.name + "#rows"]++ == 0) {
      group.name += "#rows";
    } else if (times > 0) {
      group.name += "#" + std::to_string(times + 1);
    }
    const bool written =
        std::any_of(group.members.begin(), group.members.end(),
                    [](const Member& member) { return member.role == Role::kWriter; });
    if (group.of == 1) group.reason = "a single channel cannot be removed";
    if (!written) group.reason = "no layer writes these channels";
    group.offered = group.reason.empty();
  }
}

void Grouping::find_locked(Combing& combing) {
  for (const auto& parameter : engine_.model().parameters) {
    if (parameter.value < 0 || parameter.role != ParameterRole::kParameter) continue;
    const Labels& atoms = engine_.atoms().at(parameter.value);
    for (size_t d = 0; d < atoms.dims.size(); ++d) {
      std::map<std::pair<OpId, std::string>, std::set<int64_t>> reasons;
      const auto& array = atoms.dims[d];
      int64_t inner = 1;
      for (size_t k = d + 1; k < array.extents.size(); ++k) inner *= array.extents[k];
      for (size_t at = 0; at < array.entries.size(); ++at) {
        const LockReason* reason = forest_.reason(array.entries[at]);
        if (reason == nullptr) continue;
        const int64_t position = (static_cast<int64_t>(at) / inner) % array.extents[d];
        reasons[{reason->op, reason->text}].insert(position);
      }
      for (const auto& [why, positions] : reasons) {
        LockedDimension locked{
            parameter.value, static_cast<int>(d), static_cast<int64_t>(positions.size()),
            why.first,       why.second,          {}};
        if (why.first >= 0) locked.where = engine_.graph().op(why.first).where;
        combing.locked.push_back(std::move(locked));
      }
    }
  }
}

/// What a group is for, from the contractions that its channels take part in.
void Grouping::give_roles(Combing& combing) {
  const auto tags = engine_.tags();
  const auto& writer_kinds = engine_.writers();
  for (auto& group : combing.groups) {
    std::set<std::string> own;
    for (Primitive primitive : group.blocks.front()) {
      const auto found = tags.find(primitives_[static_cast<size_t>(primitive)]);
      if (found != tags.end()) own.insert(found->second.begin(), found->second.end());
    }
    int writers = 0;
    bool linear = true;
    for (const auto& member : group.members) {
      const auto kind = writer_kinds.find({member.parameter, member.dim});
      if (member.role != Role::kWriter || kind == writer_kinds.end()) continue;
      ++writers;
      linear = linear && kind->second == "aten::linear";
    }
    const bool normed = group.level == Level::kStatistics && writers > 1;
    if (group.kind == UnitKind::kRows)
      group.role = own.count("heads") > 0 ? "heads" : "groups";
    else if (own.count("qk") > 0)
      group.role = "qk";
    else if (own.count("v") > 0)
      group.role = "v";
    else if (normed)
      group.role = "stream";
    else
      group.role = linear && writers > 0 ? "mlp" : "channels";
  }
}

Combing Grouping::finish() {
  Combing combing;
  std::unordered_map<Label, int32_t> forms = {{0, 0}};
  combing.forms.emplace_back();
  for (size_t i = 0; i < arrays_.size(); ++i) {
    FormArray array{arrays_[i].array.extents, {}, arrays_[i].dim};
    for (Label label : arrays_[i].array.entries) {
      const auto [found, is_new] =
          forms.try_emplace(label, static_cast<int32_t>(combing.forms.size()));
      if (is_new) {
        std::vector<Primitive> form;
        for (Label primitive : forest_.normal_form(label)) {
          form.push_back(static_cast<Primitive>(number(primitive)));
        }
        std::sort(form.begin(), form.end());
        combing.forms.push_back(std::move(form));
      }
      array.entries.push_back(found->second);
    }
    combing.arrays.push_back(std::move(array));
  }
  combing.dims = dims_;
  combing.records = records_;
  combing.rectangles = rectangles_;
  combing.folded = engine_.folded();
  combing.unknown_ops = engine_.unknown_ops();
  combing.groups = make_groups(combing);
  add_members(combing);
  name_groups(combing, engine_.model());
  give_roles(combing);
  find_locked(combing);
  return combing;
}

}  // namespace

Combing group_channels(Engine& engine, uint64_t seed) {
  while (true) {
    Grouping grouping(engine);
    grouping.collect();
    if (grouping.unify_like_rows()) continue;
    const int64_t before = engine.forest().version();
    grouping.find_partners();
    if (engine.forest().version() != before) continue;
    grouping.sign();
    grouping.refine();
    if (grouping.align_unfit_ties()) continue;
    if (!grouping.settle(seed)) continue;
    return grouping.finish();
  }
}

}  // namespace cpd
