#include <cpd/comb/forest.h>

#include <algorithm>
#include <iterator>

namespace cpd {

const char* name_of(Level level) {
  switch (level) {
    case Level::kExact:
      return "exact";
    case Level::kOperand:
      return "operand";
    case Level::kStatistics:
      return "statistics";
  }
  return "";
}

Forest::Forest() { fresh(PrimitiveKind::kElement); }  // label 0

Label Forest::fresh(PrimitiveKind kind) {
  const auto label = static_cast<Label>(parent_.size());
  parent_.push_back(label);
  kinds_.push_back(kind);
  levels_.push_back(Level::kExact);
  reason_of_.push_back(-1);
  product_of_.push_back(-1);
  self_.push_back(label);
  return label;
}

void Forest::make_product(Label label, std::vector<Label> factors) {
  product_of_[static_cast<size_t>(label)] = static_cast<int32_t>(product_list_.size());
  product_list_.push_back({std::move(factors), {}, -1});
}

Label Forest::far_root(Label label) {
  const auto l = static_cast<size_t>(label);
  const Label top = root(parent_[l]);
  // A locked label remembers why: the reason stands at the label that was united with 0.
  if (top == 0 && reason_of_[l] < 0) reason_of_[l] = reason_of_[static_cast<size_t>(parent_[l])];
  parent_[l] = top;
  return top;
}

std::span<const Label> Forest::product_form(Label root) {
  Product& own = product_at(root);
  if (own.version == version_) return own.form;
  std::vector<Label> form;
  for (Label factor : own.factors) {
    const auto part = normal_form(factor);
    form.insert(form.end(), part.begin(), part.end());
  }
  std::sort(form.begin(), form.end());
  form.erase(std::unique(form.begin(), form.end()), form.end());
  own.form = std::move(form);
  own.version = version_;
  return own.form;
}

Label Forest::product(const std::vector<Label>& labels) {
  std::vector<Label> form;
  for (Label label : labels) {
    const auto part = normal_form(label);
    form.insert(form.end(), part.begin(), part.end());
  }
  std::sort(form.begin(), form.end());
  form.erase(std::unique(form.begin(), form.end()), form.end());
  if (form.empty()) return 0;
  if (form.size() == 1) return form.front();
  const auto found = products_.find(form);
  if (found != products_.end()) return found->second;
  const Label label = fresh(PrimitiveKind::kElement);
  make_product(label, form);
  products_.emplace(std::move(form), label);
  return label;
}

Label Forest::canonical(Label label) {
  const Label top = root(label);
  if (!is_product(top)) return top;
  const auto form = normal_form(top);
  if (form.empty()) return 0;
  return form.size() == 1 ? form.front() : product({form.begin(), form.end()});
}

void Forest::mark(Label label, Level level) {
  for (Label primitive : normal_form(label)) {
    auto& current = levels_[static_cast<size_t>(primitive)];
    current = std::max(current, level);
  }
}

const LockReason* Forest::reason(Label label) {
  const Label top = root(label);
  if (top != 0) {  // a product is locked where all of its factors are, each for a reason of its own
    return normal_form(top).empty() ? reason(product_at(top).factors.front()) : nullptr;
  }
  const int32_t index = reason_of_[static_cast<size_t>(label)];
  return index < 0 ? nullptr : &reasons_[static_cast<size_t>(index)];
}

void Forest::lock_primitive(Label primitive, const LockReason& reason) {
  const bool again =
      !reasons_.empty() && reasons_.back().op == reason.op && reasons_.back().text == reason.text;
  if (!again) reasons_.push_back(reason);
  reason_of_[static_cast<size_t>(primitive)] = static_cast<int32_t>(reasons_.size()) - 1;
  parent_[static_cast<size_t>(primitive)] = 0;
  ++version_;
}

void Forest::lock(Label label, const LockReason& reason) {
  for (Label primitive : normal_form(label)) lock_primitive(primitive, reason);
}

void Forest::unite(Label a, Label b) {
  const Label keep = std::min(a, b);
  const Label other = std::max(a, b);
  parent_[static_cast<size_t>(other)] = keep;
  auto& level = levels_[static_cast<size_t>(keep)];
  level = std::max(level, levels_[static_cast<size_t>(other)]);
  // A row that meets an element stays a row: it is the coarser decision.
  auto& kind = kinds_[static_cast<size_t>(keep)];
  if (kinds_[static_cast<size_t>(other)] == PrimitiveKind::kRow) kind = PrimitiveKind::kRow;
  if (kind == PrimitiveKind::kCopy) kind = kinds_[static_cast<size_t>(other)];
  ++version_;
}

void Forest::bind(Label primitive, const std::vector<Label>& factors) {
  for (Label factor : factors) {
    for (Label inner : normal_form(factor)) {
      auto& level = levels_[static_cast<size_t>(inner)];
      level = std::max(level, levels_[static_cast<size_t>(primitive)]);
    }
  }
  make_product(primitive, factors);
  ++version_;
}

void Forest::unify(Label a, Label b, const LockReason& reason) {
  a = root(a);
  b = root(b);
  if (a == b) return;
  if (!is_product(a) && !is_product(b)) {
    if (a != 0 && b != 0) return unite(a, b);
    return lock_primitive(a == 0 ? b : a, reason);
  }
  const auto copy = [](std::span<const Label> form) {
    return std::vector<Label>(form.begin(), form.end());
  };
  const std::vector<Label> form_a = copy(normal_form(a)), form_b = copy(normal_form(b));
  if (form_a != form_b) unify_forms(form_a, form_b, reason);
}

void Forest::unify_forms(const std::vector<Label>& a, const std::vector<Label>& b,
                         const LockReason& reason) {
  std::vector<Label> only_a, only_b;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
  std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(only_b));
  const auto lock_each = [&](const std::vector<Label>& labels) {
    for (Label label : labels) lock(label, reason);
  };
  if (only_a.empty() || only_b.empty()) {  // the surplus can never go alone
    lock_each(only_a);
    lock_each(only_b);
    return;
  }
  if (only_a.size() == 1 && only_b.size() == 1) return unite(only_a.front(), only_b.front());
  if (only_a.size() == 1) return bind(only_a.front(), only_b);
  if (only_b.size() == 1) return bind(only_b.front(), only_a);
  const auto kinds_of = [&](const std::vector<Label>& labels) {
    std::vector<PrimitiveKind> kinds;
    kinds.reserve(labels.size());
    for (Label label : labels) kinds.push_back(kind(label));
    std::sort(kinds.begin(), kinds.end());
    return kinds;
  };
  if (only_a.size() != only_b.size() || kinds_of(only_a) != kinds_of(only_b)) {
    lock_each(only_a);
    lock_each(only_b);
    return;
  }
  const auto by_kind = [&](Label x, Label y) {
    return kind(x) != kind(y) ? kind(x) < kind(y) : x < y;
  };
  std::sort(only_a.begin(), only_a.end(), by_kind);
  std::sort(only_b.begin(), only_b.end(), by_kind);
  for (size_t i = 0; i < only_a.size(); ++i) unify(only_a[i], only_b[i], reason);
}

}  // namespace cpd
