#include <cpd/comb/engine.h>
#include <cpd/comb/rules/convolution.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace cpd {
namespace {

int64_t volume(const Shape& extents) {
  return std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<>());
}

/// Is the array constant along `dim`?
bool constant_along(const LabelArray& array, size_t dim) {
  int64_t inner = 1;
  for (size_t i = dim + 1; i < array.extents.size(); ++i) inner *= array.extents[i];
  const int64_t extent = array.extents[dim];
  const auto total = static_cast<int64_t>(array.entries.size());
  for (int64_t at = 0; at < total; ++at) {
    const int64_t position = (at / inner) % extent;
    if (position > 0 && array.entries[static_cast<size_t>(at)] !=
                            array.entries[static_cast<size_t>(at - position * inner)]) {
      return false;
    }
  }
  return true;
}

bool all_sizes_constant(const Op& op) {
  const auto fixed = [](const Expr& expr) { return expr.is_constant(); };
  for (const auto& arg : op.args) {
    if (const auto* expr = std::get_if<Expr>(&arg.value); expr != nullptr && !fixed(*expr)) {
      return false;
    }
    if (const auto* list = std::get_if<std::vector<Expr>>(&arg.value);
        list != nullptr && !std::all_of(list->begin(), list->end(), fixed)) {
      return false;
    }
  }
  return true;
}

bool is_random(const Op& op) {
  static const std::set<std::string> kinds = {
      "aten::rand",        "aten::randn",      "aten::randint",   "aten::randperm",
      "aten::rand_like",   "aten::randn_like", "aten::bernoulli", "aten::dropout",
      "aten::multinomial", "aten::normal"};
  return kinds.count(op.kind) > 0;
}

using Form = std::vector<Label>;

Form intersection(const Form& a, const Form& b) {
  Form common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return common;
}

Form common_of(const std::vector<Form>& row) {
  Form common = row.front();
  for (const auto& form : row) common = intersection(common, form);
  return common;
}

}  // namespace

Engine::Engine(const Model& model, const Rules& rules)
    : model_(model), rules_(rules), constants_(model) {
  labels_.resize(graph().values.size());
  labels_version_.assign(labels_.size(), -1);
  records_.resize(graph().ops.size());
  for (size_t v = 0; v < labels_.size(); ++v) labels_[v] = unlabelled(graph().values[v].shape);
  find_constants();
  make_atoms();
}

void Engine::find_constants() {
  weightlike_.assign(graph().values.size(), false);
  folded_.assign(graph().values.size(), false);
  std::vector<bool> fixed(graph().values.size(), false);
  for (const auto& parameter : model_.parameters) {
    if (parameter.value < 0) continue;
    weightlike_[index(parameter.value)] = true;
    fixed[index(parameter.value)] = parameter.role != ParameterRole::kParameter;
  }
  for (const auto& op : graph().ops) {
    const auto operands = op.operands();
    const bool still = all_sizes_constant(op) && !is_random(op);
    const bool weight = still && std::all_of(operands.begin(), operands.end(),
                                             [&](ValueId v) { return weightlike_[index(v)]; });
    const bool constant = weight && std::all_of(operands.begin(), operands.end(),
                                                [&](ValueId v) { return fixed[index(v)]; });
    for (ValueId output : op.outputs) {
      weightlike_[index(output)] = weight;
      fixed[index(output)] = constant;
      folded_[index(output)] = constant;
    }
  }
}

Labels Engine::atoms_of(ValueId value, const std::vector<bool>& labelled_dims) {
  const Shape& shape = this->shape(value);
  Labels labels = unlabelled(shape);
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] <= 1 || !labelled_dims[d]) continue;
    Shape extents(shape.size(), 1);
    extents[d] = shape[d];
    labels.dims[d] = fresh(extents, PrimitiveKind::kElement);
  }
  return labels;
}

void Engine::make_atoms() {
  std::vector<std::vector<bool>> labelled(graph().values.size());
  std::vector<int64_t> groups(graph().values.size(), 1);
  for (size_t v = 0; v < labelled.size(); ++v) {
    labelled[v].assign(graph().values[v].shape.size(), true);
  }
  for (const auto& op : graph().ops) {
    if (op.kind == "aten::convolution") {  // positions of a kernel that slides are never removed
      const ValueId weight = op.tensor("weight");
      auto& dims = labelled[index(weight)];
      for (size_t i = 0; i + 2 < dims.size(); ++i) {
        if (!rules::covers_input(graph(), op, i)) dims[i + 2] = false;
      }
      groups[index(weight)] = op.integer("groups");
    }
    if (op.kind == "aten::embedding") labelled[index(op.tensor("weight"))][0] = false;
  }
  for (const auto& parameter : model_.parameters) {
    if (parameter.value < 0) continue;
    const ValueId value = parameter.value;
    Labels labels = atoms_of(value, labelled[index(value)]);
    const int64_t blocks = groups[index(value)];
    const Shape& extent = shape(value);
    if (blocks > 1 && extent[1] > 1) {  // every block of a grouped weight has columns of its own
      Shape extents(extent.size(), 1);
      extents[0] = blocks;
      extents[1] = extent[1];
      const LabelArray per_block = fresh(extents, PrimitiveKind::kElement);
      std::vector<int64_t> block_of(static_cast<size_t>(extent[0]));
      for (size_t o = 0; o < block_of.size(); ++o) {
        block_of[o] = static_cast<int64_t>(o) / (extent[0] / blocks);
      }
      labels.dims[1] = taken(per_block, 0, block_of);
    }
    atoms_[value] = labels;
    labels_[index(value)] = labels;
  }
}

void Engine::propagate() {
  for (size_t i = 0; i < graph().ops.size(); ++i) {
    current_ = static_cast<OpId>(i);
    run_rule(graph().ops[i]);
  }
  lock_outputs();
}

void Engine::run_rule(const Op& op) {
  if (!op.outputs.empty() && folded_[index(op.outputs.front())]) {
    for (ValueId output : op.outputs) {
      atoms_[output] = atoms_of(output, std::vector<bool>(shape(output).size(), true));
      labels_[index(output)] = atoms_[output];
    }
    return;
  }
  const Rule* rule = rules_.find(op.kind);
  if (rule != nullptr) return rule->comb(*this);
  const auto operands = op.operands();
  for (ValueId operand : operands) lock_all(operand, "no rule for " + op.kind);
  if (operands.empty()) return;
  const std::string where = op.where.text();
  unknown_.push_back(op.kind + (where.empty() ? "" : " (" + where + ")"));
}

void Engine::lock_outputs() {
  current_ = -1;
  for (ValueId output : graph().output_values()) lock_all(output, "the network returns it");
}

Labels Engine::labels(ValueId value) {
  Labels& own = labels_[index(value)];
  if (labels_version_[index(value)] != forest_.version()) {
    for (auto& array : own.dims) make_canonical(array);
    labels_version_[index(value)] = forest_.version();
  }
  return own;
}

void Engine::set(ValueId output, Labels labels) {
  if (labels.shape != shape(output)) {
    throw Error("a combing rule gave labels of another shape", {op().kind, op().where.text(), ""});
  }
  labels_[index(output)] = canonical(std::move(labels));
  labels_version_[index(output)] = forest_.version();
}

at::Tensor Engine::constant(ValueId value) {
  const bool table = graph().value(value).kind == ValueKind::kParameter;
  return table || folded_[index(value)] ? constants_(value) : at::Tensor();
}

void Engine::role(ValueId value, int dim, Role role) {
  if (!weightlike_[index(value)] || shape(value)[static_cast<size_t>(dim)] <= 1) return;
  if (graph().value(value).kind != ValueKind::kParameter) {
    computed_roles_.push_back({value, labels(value).dims[static_cast<size_t>(dim)], role});
    return;
  }
  if (role == Role::kWriter) writers_[{value, dim}] = op().kind;
  const auto& outputs = op().outputs;
  const bool makes_weight = !outputs.empty() && weightlike_[index(outputs.front())];
  (makes_weight ? weight_roles_ : roles_)[{value, dim}].insert(role);
}

std::set<ValueId> Engine::parameters_under(ValueId value) const {
  std::set<ValueId> found;
  std::vector<ValueId> open = {value};
  while (!open.empty()) {
    const ValueId next = open.back();
    open.pop_back();
    if (graph().value(next).kind == ValueKind::kParameter) {
      found.insert(next);
    } else {
      for (ValueId operand : graph().op(graph().value(next).producer).operands()) {
        open.push_back(operand);
      }
    }
  }
  return found;
}

Engine::Roles Engine::roles() {
  const auto primitives = [&](const LabelArray& array) {
    std::set<Label> result;
    for (Label label : array.entries) {
      const auto form = forest_.normal_form(label);
      result.insert(form.begin(), form.end());
    }
    return result;
  };
  Roles result = roles_;
  for (const auto& computed : computed_roles_) {
    if (computed.role == Role::kAlong) continue;
    const auto sought = primitives(computed.array);
    for (ValueId parameter : parameters_under(computed.value)) {
      const Labels labels = this->labels(parameter);
      for (int d = 0; d < labels.rank(); ++d) {
        const auto own = primitives(labels.dims[static_cast<size_t>(d)]);
        const bool shared = std::any_of(own.begin(), own.end(),
                                        [&](Label label) { return sought.count(label) > 0; });
        if (shared) result[{parameter, d}].insert(computed.role);
      }
    }
  }
  for (const auto& [dimension, roles] : weight_roles_) result.try_emplace(dimension, roles);
  for (auto& [dimension, roles] : result) {
    if (roles.size() > 1) roles.erase(Role::kAlong);
  }
  return result;
}

void Engine::make_canonical(LabelArray& array) {
  if (array.none()) return;
  bool any = false;
  for (auto& entry : array.entries) {
    entry = forest_.canonical(entry);
    any = any || entry != 0;
  }
  if (!any) {
    array = {};
    return;
  }
  for (size_t d = 0; d < array.extents.size(); ++d) {
    if (array.extents[d] > 1 && constant_along(array, d)) {
      array = taken(array, static_cast<int>(d), {0});
    }
  }
}

LabelArray Engine::canonical(LabelArray array) {
  make_canonical(array);
  return array;
}

Labels Engine::canonical(Labels labels) {
  for (auto& array : labels.dims) make_canonical(array);
  return labels;
}

void Engine::unify(const LabelArray& a, const LabelArray& b) {
  const LabelArray left = canonical(a), right = canonical(b);
  if (left == right) return;
  if (left.none()) return lock_with(right, a);
  if (right.none()) return lock_with(left, b);
  LabelArray wide_left = left, wide_right = right;
  for (size_t d = 0; d < left.extents.size(); ++d) {
    const int64_t extent = std::max(left.extents[d], right.extents[d]);
    wide_left = widened(wide_left, static_cast<int>(d), extent);
    wide_right = widened(wide_right, static_cast<int>(d), extent);
  }
  std::set<std::pair<Label, Label>> done;
  const LockReason reason =
      why("unequal dependencies meet" + (current_ < 0 ? "" : " in " + op().kind));
  for (size_t i = 0; i < wide_left.entries.size(); ++i) {
    const std::pair<Label, Label> pair{wide_left.entries[i], wide_right.entries[i]};
    const auto simple = [&](Label label) { return forest_.normal_form(label).size() <= 1; };
    if ((simple(pair.first) && simple(pair.second)) || done.insert(pair).second) {
      forest_.unify(pair.first, pair.second, reason);
    }
  }
}

void Engine::lock(const LabelArray& array, const std::string& reason) {
  for (Label label : array.entries) forest_.lock(label, why(reason));
}

void Engine::lock_with(const LabelArray& array, const LabelArray& locked) {
  LockReason reason = why("it goes with a dimension that no layer writes, such as an input's");
  for (Label label : locked.entries) {
    if (const LockReason* first = forest_.reason(label)) reason = *first;
  }
  for (Label label : array.entries) forest_.lock(label, reason);
}

void Engine::mark(const LabelArray& array, Level level) {
  for (Label label : array.entries) forest_.mark(label, level);
}

void Engine::tag(const LabelArray& array, const std::string& tag) {
  if (!array.none()) tags_.emplace_back(array, tag);
}

std::map<Label, std::set<std::string>> Engine::tags() {
  std::map<Label, std::set<std::string>> result;
  for (const auto& [array, tag] : tags_) {
    for (Label label : array.entries) {
      for (Label primitive : forest_.normal_form(label)) result[primitive].insert(tag);
    }
  }
  return result;
}

LabelArray Engine::align(const LabelArray& array, int dim) {
  if (!array.varies(dim)) return array;
  const LabelArray first = taken(array, dim, {0});
  unify(array, first);
  return first;
}

LabelArray Engine::fresh(const Shape& extents, PrimitiveKind kind) {
  LabelArray array{extents, {}};
  const int64_t count = volume(extents);
  for (int64_t i = 0; i < count; ++i) array.entries.push_back(forest_.fresh(kind));
  return array;
}

bool Engine::keep_array(const LabelArray& array) const {
  int directions = 0;
  for (int64_t extent : array.extents) directions += extent > 1 ? 1 : 0;
  return directions > 1;
}

void Engine::rectangle(const LabelArray& array, int dim) {
  if (keep_array(array)) rectangles_.push_back({array, dim});
}

void Engine::record(const std::string& key, const Labels& labels) {
  records_[static_cast<size_t>(current_)][key] = labels;
}

Labels Engine::merge(const Labels& labels, int dim) {
  const auto a = static_cast<size_t>(dim), b = a + 1;
  const int64_t rows = labels.shape[a], columns = labels.shape[b];
  Labels result = labels;
  for (int d = 0; d < labels.rank(); ++d) rectangle(labels.dims[static_cast<size_t>(d)], d);
  LabelArray outer = canonical(labels.dims[a]);
  if (outer.varies(dim + 1)) outer = canonical(align(outer, dim + 1));
  LabelArray inner = canonical(labels.dims[b]);
  const auto flattened = [&](LabelArray array) {
    if (array.none()) return array;
    if (array.varies(dim) || array.varies(dim + 1)) {
      array = widened(widened(array, dim, rows), dim + 1, columns);
    }
    array.extents[a] *= array.extents[b];
    array.extents.erase(array.extents.begin() + dim + 1);
    return array;
  };
  LabelArray merged;
  if (!outer.none() || !inner.none()) {
    LabelArray left = widened(explicit_along(outer, labels.rank(), dim, rows), dim + 1, columns);
    LabelArray right = widened(explicit_along(inner, labels.rank(), dim + 1, columns), dim, rows);
    for (size_t d = 0; d < left.extents.size(); ++d) {
      const int64_t extent = std::max(left.extents[d], right.extents[d]);
      left = widened(left, static_cast<int>(d), extent);
      right = widened(right, static_cast<int>(d), extent);
    }
    for (size_t i = 0; i < left.entries.size(); ++i) {
      left.entries[i] = forest_.product({left.entries[i], right.entries[i]});
    }
    merged = flattened(left);
  }
  result.shape[a] *= result.shape[b];
  result.shape.erase(result.shape.begin() + dim + 1);
  for (auto& array : result.dims) array = flattened(array);
  result.dims[a] = merged;
  result.dims.erase(result.dims.begin() + dim + 1);
  return canonical(result);
}

/// Gives a row label to every class of equal rows that has none and can have one.
void Engine::make_rows(std::vector<std::vector<Form>>& rows) {
  std::map<std::vector<Form>, int> class_of;
  std::map<Label, std::set<int>> classes;
  for (const auto& row : rows) {
    const int number = class_of.try_emplace(row, static_cast<int>(class_of.size())).first->second;
    for (const auto& form : row) {
      for (Label primitive : form) classes[primitive].insert(number);
    }
  }
  const auto is_private = [&](Label primitive) { return classes[primitive].size() == 1; };
  for (const auto& [row, number] : class_of) {
    const Form common = common_of(row);
    if (std::any_of(common.begin(), common.end(), is_private)) continue;
    std::map<Label, int> uses;
    for (const auto& form : row) {
      for (Label primitive : form) uses[primitive] += 1;
    }
    std::set<Label> chosen;
    bool complete = true;
    for (const auto& form : row) {
      Label best = 0;
      for (Label primitive : form) {
        if (is_private(primitive) && (best == 0 || uses[primitive] > uses[best])) best = primitive;
      }
      complete = complete && best != 0;
      chosen.insert(best);
    }
    if (!complete) continue;
    const Label whole = forest_.fresh(PrimitiveKind::kRow);
    for (Label primitive : chosen) {
      const Label rest = forest_.fresh(forest_.kind(primitive));
      forest_.mark(rest, forest_.level(primitive));
      forest_.bind(primitive, {rest, whole});
    }
  }
}

Labels Engine::split(const Labels& labels, int dim, int64_t rows, int64_t columns) {
  const auto a = static_cast<size_t>(dim);
  Labels result{labels.shape, {}};
  result.shape[a] = rows;
  result.shape.insert(result.shape.begin() + dim + 1, columns);
  const auto opened = [&](LabelArray array) {
    if (array.none()) return array;
    const bool along = array.varies(dim);
    array.extents[a] = along ? rows : 1;
    array.extents.insert(array.extents.begin() + dim + 1, along ? columns : 1);
    return array;
  };
  for (const auto& array : labels.dims) result.dims.push_back(opened(array));
  result.dims.insert(result.dims.begin() + dim + 1, LabelArray{});
  const LabelArray own = canonical(labels.dims[a]);
  result.dims[a] = {};
  if (own.none()) return result;
  const LabelArray full = opened(widened(own, dim, rows * columns));
  if (columns == 1 || rows == 1) {
    result.dims[columns == 1 ? a : a + 1] = full;
    return canonical(result);
  }
  // All positions of the other dimensions have rows of their own: [outer, rows, columns, inner].
  const int64_t outer = volume(Shape(full.extents.begin(), full.extents.begin() + dim));
  const int64_t inner = volume(Shape(full.extents.begin() + dim + 2, full.extents.end()));
  const auto offset = [&](int64_t o, int64_t m, int64_t k, int64_t i) {
    return static_cast<size_t>(((o * rows + m) * columns + k) * inner + i);
  };
  const auto read_rows = [&] {
    std::vector<std::vector<Form>> all;
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        for (int64_t m = 0; m < rows; ++m) {
          std::vector<Form> row;
          for (int64_t k = 0; k < columns; ++k) {
            const auto form = forest_.normal_form(full.entries[offset(o, m, k, i)]);
            row.emplace_back(form.begin(), form.end());
          }
          all.push_back(std::move(row));
        }
      }
    }
    return all;
  };
  auto all = read_rows();
  const bool flat = std::all_of(all.begin(), all.end(), [](const std::vector<Form>& row) {
    return std::all_of(row.begin(), row.end(),
                       [&](const Form& form) { return form == row.front(); });
  });
  if (!flat) {
    make_rows(all);
    all = read_rows();
  }
  LabelArray row_labels = full, column_labels = full;
  size_t next = 0;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      for (int64_t m = 0; m < rows; ++m) {
        const auto& row = all[next++];
        const Form common = common_of(row);
        const Label whole = forest_.product(common);
        for (int64_t k = 0; k < columns; ++k) {
          Form rest;
          std::set_difference(row[static_cast<size_t>(k)].begin(),
                              row[static_cast<size_t>(k)].end(), common.begin(), common.end(),
                              std::back_inserter(rest));
          row_labels.entries[offset(o, m, k, i)] = whole;
          column_labels.entries[offset(o, m, k, i)] = forest_.product(rest);
        }
      }
    }
  }
  result.dims[a] = taken(row_labels, dim + 1, {0});
  result.dims[a + 1] = column_labels;
  result = canonical(result);
  for (int d = 0; d < result.rank(); ++d) rectangle(result.dims[static_cast<size_t>(d)], d);
  return result;
}

}  // namespace cpd
