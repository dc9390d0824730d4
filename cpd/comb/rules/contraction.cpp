#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

#include <algorithm>
#include <set>

namespace cpd {
namespace {

using Names = std::vector<std::string>;

ValueId output_of(const RuleContext& rule) { return rule.op().outputs.front(); }

/// An operand with its names. In a contraction of weights alone (spectral norm) nothing is read or
/// written yet: it makes a weight whose own contraction says so.
Operand operand_of(RuleContext& rule, ValueId value, Names names) {
  const bool weight = rule.is_parameter(value) && !rule.is_parameter(output_of(rule));
  return {rule.labels(value), std::move(names), weight ? value : -1};
}

/// A summand that is broadcast to the result: its names are the last ones of the result.
void add_bias(RuleContext& rule, std::vector<Operand>& operands, ValueId bias,
              const Names& result) {
  if (bias < 0) return;
  const int rank = rules::rank_of(rule, bias);
  operands.push_back({rule.labels(bias), Names(result.end() - rank, result.end()), -1});
  for (int d = 0; d < rank; ++d) rule.role(bias, d, Role::kAlong);
}

/// Names of `count` batch dimensions, counted from the last, so that broadcasting lines them up.
Names batch_names(int count) {
  Names names;
  for (int i = count; i-- > 0;) names.push_back("batch" + std::to_string(i));
  return names;
}

Names joined(Names names, const Names& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

void contract(RuleContext& rule, std::vector<Operand> operands, const Names& result) {
  const ValueId output = output_of(rule);
  rule.set(output, rule.contract(std::move(operands), result, rule.shape(output)));
}

void comb_linear(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId x = op.tensor("input"), w = op.tensor("weight");
  const Names batch = batch_names(rules::rank_of(rule, x) - 1);
  const bool vector = rules::rank_of(rule, w) == 1;
  const Names result = vector ? batch : joined(batch, {"out"});
  std::vector<Operand> operands = {operand_of(rule, x, joined(batch, {"in"})),
                                   operand_of(rule, w, vector ? Names{"in"} : Names{"out", "in"})};
  // A layer on something that the network owns (places, learned queries) is a layer.
  if (rule.graph().value(w).kind == ValueKind::kParameter) operands.back().parameter = w;
  add_bias(rule, operands, op.tensor("bias"), result);
  contract(rule, std::move(operands), result);
}

/// a·b with the broadcasting of `matmul`, plus a summand that is broadcast.
void comb_product(RuleContext& rule, ValueId a, ValueId b, ValueId summand) {
  const int rank_a = rules::rank_of(rule, a), rank_b = rules::rank_of(rule, b);
  const Names batch_a = batch_names(std::max(rank_a - 2, 0));
  const Names batch_b = batch_names(std::max(rank_b - 2, 0));
  const Names names_a = rank_a == 1 ? Names{"inner"} : joined(batch_a, {"row", "inner"});
  const Names names_b = rank_b == 1 ? Names{"inner"} : joined(batch_b, {"inner", "column"});
  Names result = batch_a.size() > batch_b.size() ? batch_a : batch_b;
  if (rank_a > 1) result.push_back("row");
  if (rank_b > 1) result.push_back("column");
  std::vector<Operand> operands = {operand_of(rule, a, names_a), operand_of(rule, b, names_b)};
  add_bias(rule, operands, summand, result);
  contract(rule, std::move(operands), result);
}

void comb_matmul(RuleContext& rule) {
  const auto operands = rule.op().operands();
  if (rules::any_labelled(rule)) comb_product(rule, operands.at(0), operands.at(1), -1);
}

/// `addmm(summand, a, b)` and its relatives.
void comb_addmm(RuleContext& rule) {
  const auto operands = rule.op().operands();
  if (rules::any_labelled(rule)) comb_product(rule, operands.at(1), operands.at(2), operands.at(0));
}

/// The batch is summed over too.
void comb_addbmm(RuleContext& rule) {
  const auto values = rule.op().operands();
  std::vector<Operand> operands = {operand_of(rule, values.at(1), {"batch", "row", "inner"}),
                                   operand_of(rule, values.at(2), {"batch", "inner", "column"})};
  add_bias(rule, operands, values.at(0), {"row", "column"});
  contract(rule, std::move(operands), {"row", "column"});
}

void comb_outer(RuleContext& rule) {
  const auto values = rule.op().operands();
  contract(rule,
           {operand_of(rule, values.at(0), {"row"}), operand_of(rule, values.at(1), {"column"})},
           {"row", "column"});
}

void comb_bilinear(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId a = op.tensor("input1"), b = op.tensor("input2");
  const Names batch = batch_names(rules::rank_of(rule, a) - 1);
  const Names result = joined(batch, {"out"});
  std::vector<Operand> operands = {operand_of(rule, a, joined(batch, {"left"})),
                                   operand_of(rule, b, joined(batch, {"right"})),
                                   operand_of(rule, op.tensor("weight"), {"out", "left", "right"})};
  add_bias(rule, operands, op.tensor("bias"), result);
  contract(rule, std::move(operands), result);
}

/// Distances of rows: every pair of rows is compared over the inner dimension, without weights.
void comb_cdist(RuleContext& rule) {
  const auto values = rule.op().operands();
  const int rank = rules::rank_of(rule, values.at(0));
  if (!rules::any_labelled(rule) || rank != rules::rank_of(rule, values.at(1))) {
    return rules::lock_operands(rule, "distances of operands of different rank");
  }
  const Names batch = batch_names(rank - 2);
  contract(rule,
           {{rule.labels(values[0]), joined(batch, {"row", "inner"}), -1},
            {rule.labels(values[1]), joined(batch, {"column", "inner"}), -1}},
           joined(batch, {"row", "column"}));
}

/// One side of an einsum equation; an ellipsis stands for as many dimensions as are left.
Names terms(const std::string& side, int ellipsis) {
  Names names;
  for (size_t i = 0; i < side.size(); ++i) {
    if (side[i] == '.') {
      names = joined(names, batch_names(ellipsis));
      i += 2;
    } else if (side[i] != ' ') {
      names.emplace_back(1, side[i]);
    }
  }
  return names;
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == ',')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

/// Without an arrow the result has the ellipsis and then every letter that occurs once.
std::string implied_result(const std::string& left) {
  std::string result;
  if (left.find('.') != std::string::npos) result = "...";
  std::string letters;
  for (char c : left) {
    if (std::isalpha(static_cast<unsigned char>(c)) &&
        std::count(left.begin(), left.end(), c) == 1) {
      letters += c;
    }
  }
  std::sort(letters.begin(), letters.end());
  return result + letters;
}

bool repeats_a_name(const Names& names) {
  return std::set<std::string>(names.begin(), names.end()).size() != names.size();
}

void comb_einsum(RuleContext& rule) {
  if (!rules::any_labelled(rule)) return;
  const std::string equation = std::get<std::string>(rule.op().arg("equation"));
  const size_t arrow = equation.find("->");
  const std::string left = equation.substr(0, arrow);
  const std::string right =
      arrow == std::string::npos ? implied_result(left) : equation.substr(arrow + 2);
  const auto values = rule.op().tensors("tensors");
  const auto sides = split_at_commas(left);
  std::vector<Operand> operands;
  int ellipsis = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const int free =
        rules::rank_of(rule, values[i]) - static_cast<int>(terms(sides.at(i), 0).size());
    if (sides[i].find('.') != std::string::npos) ellipsis = std::max(ellipsis, free);
    operands.push_back(operand_of(rule, values[i], terms(sides[i], free)));
    if (repeats_a_name(operands.back().names)) {
      return rules::lock_operands(rule, "a diagonal is taken");
    }
  }
  contract(rule, std::move(operands), terms(right, ellipsis));
}

void comb_tensordot(RuleContext& rule) {
  const Op& op = rule.op();
  const ValueId a = op.tensor("self"), b = op.tensor("other");
  const auto dims_a = rules::dims_of(op, "dims_self", rules::rank_of(rule, a));
  const auto dims_b = rules::dims_of(op, "dims_other", rules::rank_of(rule, b));
  Names names_a, names_b, result;
  const auto name = [&](ValueId value, const std::vector<int>& summed, const std::string& prefix) {
    Names names;
    for (int d = 0; d < rules::rank_of(rule, value); ++d) {
      const auto found = std::find(summed.begin(), summed.end(), d);
      const bool kept = found == summed.end();
      names.push_back(kept ? prefix + std::to_string(d)
                           : "summed" + std::to_string(found - summed.begin()));
      if (kept) result.push_back(names.back());
    }
    return names;
  };
  names_a = name(a, dims_a, "left");
  names_b = name(b, dims_b, "right");
  contract(rule, {operand_of(rule, a, names_a), operand_of(rule, b, names_b)}, result);
}

}  // namespace

void add_contraction_rules(Rules& rules) {
  rules.add("aten::linear", {comb_linear});
  rules.add_all({"aten::matmul", "aten::linalg_matmul", "aten::bmm", "aten::mm", "aten::mv",
                 "aten::dot", "aten::vdot"},
                {comb_matmul});
  rules.add_all({"aten::addmm", "aten::baddbmm", "aten::addmv"}, {comb_addmm});
  rules.add("aten::addbmm", {comb_addbmm});
  rules.add_all({"aten::outer", "aten::ger"}, {comb_outer});
  rules.add("aten::bilinear", {comb_bilinear});
  rules.add("aten::cdist", {comb_cdist});
  rules.add("aten::einsum", {comb_einsum});
  rules.add("aten::tensordot", {comb_tensordot});
}

}  // namespace cpd
