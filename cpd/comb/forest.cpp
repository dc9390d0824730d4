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
  factors_.emplace_back();
  forms_.emplace_back();
  form_version_.push_back(-1);
  return label;
}

Label Forest::root(Label label) {
  const auto l = static_cast<size_t>(label);
  if (parent_[l] == label) return label;
  const Label top = root(parent_[l]);
  // A locked label remembers why: the reason stands at the label that was united with 0.
  if (top == 0 && reason_of_[l] < 0) reason_of_[l] = reason_of_[static_cast<size_t>(parent_[l])];
  parent_[l] = top;
  return top;
}

const std::vector<Label>& Forest::normal_form(Label label) {
  const Label top = root(label);
  const auto t = static_cast<size_t>(top);
  if (factors_[t].empty()) {  // its own form for as long as it is a root
    if (top != 0 && forms_[t].empty()) forms_[t].push_back(top);
    return forms_[t];
  }
  if (form_version_[t] == version_) return forms_[t];
  std::vector<Label> form;
  const std::vector<Label> factors = factors_[t];
  for (Label factor : factors) {
    const auto& part = normal_form(factor);
    form.insert(form.end(), part.begin(), part.end());
  }
  std::sort(form.begin(), form.end());
  form.erase(std::unique(form.begin(), form.end()), form.end());
  forms_[t] = std::move(form);
  form_version_[t] = version_;
  return forms_[t];
}

Label Forest::product(const std::vector<Label>& labels) {
  std::vector<Label> form;
  for (Label label : labels) {
    const auto& part = normal_form(label);
    form.insert(form.end(), part.begin(), part.end());
  }
  std::sort(form.begin(), form.end());
  form.erase(std::unique(form.begin(), form.end()), form.end());
  if (form.empty()) return 0;
  if (form.size() == 1) return form.front();
  const auto found = products_.find(form);
  if (found != products_.end()) return found->second;
  const Label label = fresh(PrimitiveKind::kElement);
  factors_[static_cast<size_t>(label)] = form;
  products_.emplace(std::move(form), label);
  return label;
}

Label Forest::canonical(Label label) {
  const Label top = root(label);
  if (factors_[static_cast<size_t>(top)].empty()) return top;
  const std::vector<Label> form = normal_form(top);
  if (form.empty()) return 0;
  return form.size() == 1 ? form.front() : product(form);
}

void Forest::mark(Label label, Level level) {
  const std::vector<Label> form = normal_form(label);
  for (Label primitive : form) {
    auto& current = levels_[static_cast<size_t>(primitive)];
    current = std::max(current, level);
  }
}

const LockReason* Forest::reason(Label label) {
  const Label top = root(label);
  if (top != 0) {  // a product is locked where all of its factors are, each for a reason of its own
    return normal_form(top).empty() ? reason(factors_[static_cast<size_t>(top)].front()) : nullptr;
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
  const std::vector<Label> form = normal_form(label);
  for (Label primitive : form) lock_primitive(primitive, reason);
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
    for (Label inner : std::vector<Label>(normal_form(factor))) {
      auto& level = levels_[static_cast<size_t>(inner)];
      level = std::max(level, levels_[static_cast<size_t>(primitive)]);
    }
  }
  factors_[static_cast<size_t>(primitive)] = factors;
  ++version_;
}

void Forest::unify(Label a, Label b, const LockReason& reason) {
  a = root(a);
  b = root(b);
  if (a == b) return;
  if (factors_[static_cast<size_t>(a)].empty() && factors_[static_cast<size_t>(b)].empty()) {
    if (a != 0 && b != 0) return unite(a, b);
    return lock_primitive(a == 0 ? b : a, reason);
  }
  const std::vector<Label> form_a = normal_form(a);
  const std::vector<Label> form_b = normal_form(b);
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
