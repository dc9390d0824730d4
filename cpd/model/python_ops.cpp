#include <ATen/core/jit_type.h>
#include <cpd/model/python_ops.h>

#include <algorithm>
#include <map>

namespace cpd {
namespace {

struct ContainerCall {
  Recorder& recorder;
  const c10::FunctionSchema& schema;
  const Symbols& args;

  int64_t integer(size_t index) const {
    const auto* number = args.at(index).number();
    if (!number) recorder.fail("an index is no number", schema.name());
    if (number->poison) recorder.fail("an index depends on the data of a tensor", schema.name());
    return number->expr.dense_int();
  }
  /// A position in a list, counted from the front.
  size_t position(const ListSymbol& list, size_t index) const {
    const auto size = static_cast<int64_t>(list.items.size());
    const int64_t at = integer(index) < 0 ? integer(index) + size : integer(index);
    if (at < 0 || at >= size) recorder.fail("the network raises: list index out of range");
    return static_cast<size_t>(at);
  }
};

bool same_key(const Symbol& a, const Symbol& b) {
  return concrete_of(a).equals(concrete_of(b)).toBool();
}

auto find_key(DictSymbol& dict, const Symbol& key) {
  return std::find_if(dict.items.begin(), dict.items.end(),
                      [&key](const auto& item) { return same_key(item.first, key); });
}

Symbols slice_list(const ContainerCall& call, const ListSymbol& list) {
  const auto size = static_cast<int64_t>(list.items.size());
  const int64_t step = call.args.size() > 3 ? call.integer(3) : 1;
  const auto bound = [&](size_t index, int64_t otherwise) {
    if (call.args.at(index).is_none()) return otherwise;
    const int64_t value = call.integer(index);
    const int64_t at = value < 0 ? value + size : value;
    return std::clamp<int64_t>(at, step < 0 ? -1 : 0, step < 0 ? size - 1 : size);
  };
  const int64_t start = bound(1, step < 0 ? size - 1 : 0);
  const int64_t end = bound(2, step < 0 ? -1 : size);
  Symbols items;
  for (int64_t i = start; step < 0 ? i > end : i < end; i += step) {
    items.push_back(list.items[static_cast<size_t>(i)]);
  }
  return {make_list(list.element, std::move(items))};
}

Symbols repeat_list(const ListSymbol& list, int64_t times) {
  Symbols items;
  for (int64_t i = 0; i < times; i++) {
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return {make_list(list.element, std::move(items))};
}

using ListRule = Symbols (*)(const ContainerCall&, ListSymbol&);

const std::map<std::string, ListRule>& list_rules() {
  using C = const ContainerCall&;
  using L = ListSymbol&;
  static const std::map<std::string, ListRule> rules = {
      {"aten::append",
       [](C call, L list) -> Symbols {
         list.items.push_back(call.args.at(1));
         return {call.args[0]};
       }},
      {"aten::extend",
       [](C call, L list) -> Symbols {
         const Symbols more = call.args.at(1).list()->items;
         list.items.insert(list.items.end(), more.begin(), more.end());
         return {};
       }},
      {"aten::insert",
       [](C call, L list) -> Symbols {
         const auto size = static_cast<int64_t>(list.items.size());
         const int64_t index = call.integer(1) < 0 ? call.integer(1) + size : call.integer(1);
         list.items.insert(list.items.begin() + std::clamp<int64_t>(index, 0, size),
                           call.args.at(2));
         return {};
       }},
      {"aten::pop",
       [](C call, L list) -> Symbols {
         const size_t at = call.position(list, 1);
         Symbol item = list.items[at];
         list.items.erase(list.items.begin() + static_cast<std::ptrdiff_t>(at));
         return {item};
       }},
      {"aten::Delete",
       [](C call, L list) -> Symbols {
         const auto at = static_cast<std::ptrdiff_t>(call.position(list, 1));
         list.items.erase(list.items.begin() + at);
         return {};
       }},
      {"aten::reverse",
       [](C, L list) -> Symbols {
         std::reverse(list.items.begin(), list.items.end());
         return {};
       }},
      {"aten::clear",
       [](C, L list) -> Symbols {
         list.items.clear();
         return {};
       }},
      {"aten::_set_item",
       [](C call, L list) -> Symbols {
         list.items[call.position(list, 1)] = call.args.at(2);
         return {call.args[0]};
       }},
      {"aten::__getitem__",
       [](C call, L list) -> Symbols { return {list.items[call.position(list, 1)]}; }},
      {"aten::len",
       [](C, L list) -> Symbols {
         return {Symbol::integer(static_cast<int64_t>(list.items.size()))};
       }},
      {"aten::list", [](C, L list) -> Symbols { return {make_list(list.element, list.items)}; }},
      {"aten::copy", [](C, L list) -> Symbols { return {make_list(list.element, list.items)}; }},
      {"aten::slice", [](C call, L list) { return slice_list(call, list); }},
      {"aten::mul", [](C call, L list) { return repeat_list(list, call.integer(1)); }},
      {"aten::add",
       [](C call, L list) -> Symbols {
         Symbols items = list.items;
         const Symbols& more = call.args.at(1).list()->items;
         items.insert(items.end(), more.begin(), more.end());
         return {make_list(list.element, std::move(items))};
       }},
      {"aten::add_", [](C call, L list) -> Symbols {
         const Symbols more = call.args.at(1).list()->items;
         list.items.insert(list.items.end(), more.begin(), more.end());
         return {call.args[0]};
       }}};
  return rules;
}

using DictRule = Symbols (*)(const ContainerCall&, DictSymbol&);

template <typename Pick>
Symbols dict_list(const c10::TypePtr& element, const DictSymbol& dict, Pick pick) {
  Symbols items;
  for (const auto& item : dict.items) items.push_back(pick(item));
  return {make_list(element, std::move(items))};
}

Symbols update_dict(const ContainerCall& call, DictSymbol& dict) {
  const auto* other = call.args.at(1).dict();
  if (!other) call.recorder.fail("a dict is updated from something else", call.schema.name());
  for (const auto& item : other->items) {
    const auto found = find_key(dict, item.first);
    if (found != dict.items.end()) {
      found->second = item.second;
    } else {
      dict.items.push_back(item);
    }
  }
  return {};
}

Symbols take_item(const ContainerCall& call, DictSymbol& dict, bool remove) {
  const auto found = find_key(dict, call.args.at(1));
  if (found == dict.items.end()) {
    if (call.args.size() > 2) return {call.args[2]};
    if (call.schema.name() == "aten::get") return {Symbol()};
    call.recorder.fail("the network raises: a dict has no such key", call.schema.name());
  }
  const Symbol value = found->second;
  if (remove) dict.items.erase(found);
  return {value};
}

const std::map<std::string, DictRule>& dict_rules() {
  using C = const ContainerCall&;
  using D = DictSymbol&;
  static const std::map<std::string, DictRule> rules = {
      {"aten::__getitem__", [](C call, D dict) { return take_item(call, dict, false); }},
      {"aten::get", [](C call, D dict) { return take_item(call, dict, false); }},
      {"aten::pop", [](C call, D dict) { return take_item(call, dict, true); }},
      {"aten::Delete",
       [](C call, D dict) -> Symbols {
         take_item(call, dict, true);
         return {};
       }},
      {"aten::_set_item",
       [](C call, D dict) -> Symbols {
         const auto found = find_key(dict, call.args.at(1));
         if (found != dict.items.end()) {
           found->second = call.args.at(2);
         } else {
           dict.items.emplace_back(call.args.at(1), call.args.at(2));
         }
         return {};
       }},
      {"aten::__contains__",
       [](C call, D dict) -> Symbols {
         return {Symbol::boolean(find_key(dict, call.args.at(1)) != dict.items.end())};
       }},
      {"aten::len",
       [](C, D dict) -> Symbols {
         return {Symbol::integer(static_cast<int64_t>(dict.items.size()))};
       }},
      {"aten::clear",
       [](C, D dict) -> Symbols {
         dict.items.clear();
         return {};
       }},
      {"aten::update", update_dict},
      {"aten::copy",
       [](C, D dict) -> Symbols { return {Symbol(std::make_shared<DictSymbol>(dict))}; }},
      {"aten::dict",
       [](C, D dict) -> Symbols { return {Symbol(std::make_shared<DictSymbol>(dict))}; }},
      {"aten::keys",
       [](C, D dict) {
         return dict_list(dict.key, dict, [](const auto& item) { return item.first; });
       }},
      {"aten::values",
       [](C, D dict) {
         return dict_list(dict.value, dict, [](const auto& item) { return item.second; });
       }},
      {"aten::items", [](C, D dict) {
         const auto type = c10::TupleType::create({dict.key, dict.value});
         return dict_list(type, dict, [&type](const auto& item) {
           return make_tuple(type, {item.first, item.second});
         });
       }}};
  return rules;
}

std::optional<std::string> function_of(const std::string& name, bool booleans) {
  static const std::map<std::string, std::string> functions = {
      {"aten::add", "add"},     {"aten::sub", "sub"},
      {"aten::mul", "mul"},     {"aten::floordiv", "floordiv"},
      {"aten::div", "div"},     {"aten::remainder", "remainder"},
      {"aten::neg", "neg"},     {"aten::pow", "pow"},
      {"aten::sqrt", "sqrt"},   {"aten::ceil", "ceil"},
      {"aten::floor", "floor"}, {"prim::min", "min"},
      {"prim::max", "max"},     {"aten::Int", "int"},
      {"aten::Float", "float"}, {"aten::Bool", "bool"},
      {"aten::eq", "eq"},       {"aten::ne", "ne"},
      {"aten::lt", "lt"},       {"aten::le", "le"},
      {"aten::gt", "gt"},       {"aten::ge", "ge"},
      {"aten::__not__", "not"}};
  if (booleans && name == "aten::__and__") return "and";
  if (booleans && name == "aten::__or__") return "or";
  const auto found = functions.find(name);
  return found == functions.end() ? std::nullopt : std::make_optional(found->second);
}

/// `min` and `max` over a list of numbers, two by two.
std::optional<Expr> folded_list(const std::string& function, const ListSymbol& list) {
  if ((function != "min" && function != "max") || list.items.empty()) return std::nullopt;
  std::optional<Expr> result;
  for (const Symbol& item : list.items) {
    if (!item.number()) return std::nullopt;
    const Expr& expr = item.number()->expr;
    result = result ? Expr::call(function, {*result, expr}) : expr;
  }
  return result;
}

std::optional<Expr> expression_of(const std::string& name, const Symbols& args) {
  std::vector<Expr> operands;
  for (const Symbol& arg : args) {
    if (arg.number()) operands.push_back(arg.number()->expr);
  }
  const bool booleans = std::all_of(operands.begin(), operands.end(), [](const Expr& operand) {
    return std::holds_alternative<bool>(operand.dense());
  });
  const auto function = function_of(name, booleans);
  if (!function) return std::nullopt;
  if (args.size() == 1 && args[0].list()) return folded_list(*function, *args[0].list());
  if (operands.size() != args.size()) return std::nullopt;
  const size_t wanted = *function == "neg" || *function == "not" || *function == "sqrt" ||
                                *function == "ceil" || *function == "floor" || *function == "int" ||
                                *function == "float" || *function == "bool"
                            ? 1
                            : 2;
  if (operands.size() != wanted) return std::nullopt;
  if (wanted == 2 && (*function == "div" || *function == "floordiv" || *function == "remainder") &&
      operands[1].dense_double() == 0) {
    return std::nullopt;
  }
  return Expr::call(*function, std::move(operands));
}

}  // namespace

std::optional<Symbols> run_container_op(Recorder& recorder, const c10::FunctionSchema& schema,
                                        const Symbols& args) {
  if (args.empty()) return std::nullopt;
  const ContainerCall call{recorder, schema, args};
  if (auto* list = args[0].list()) {
    const auto rule = list_rules().find(schema.name());
    if (rule != list_rules().end()) return rule->second(call, *list);
  }
  if (auto* dict = args[0].dict()) {
    const auto rule = dict_rules().find(schema.name());
    if (rule != dict_rules().end()) return rule->second(call, *dict);
  }
  return std::nullopt;
}

std::shared_ptr<const Poison> poison_of(const Symbols& args) {
  std::shared_ptr<const Poison> poison;
  for (const Symbol& arg : args) {
    for_each_leaf(arg, [&poison](const Symbol& leaf) {
      if (const auto* number = leaf.number(); number && number->poison) poison = number->poison;
    });
  }
  return poison;
}

std::optional<Symbol> run_number_op(const c10::FunctionSchema& schema, const Symbols& args,
                                    const c10::IValue& concrete) {
  const auto expr = expression_of(schema.name(), args);
  if (!expr) return std::nullopt;
  if (concrete.isInt()) {
    const Expr integer = Expr::call("int", {*expr});
    if (integer.dense_int() != concrete.toInt()) return std::nullopt;
    return Symbol(NumberSymbol{integer, poison_of(args)});
  }
  if (concrete.isBool()) {
    const Expr boolean = Expr::call("bool", {*expr});
    if (boolean.dense_bool() != concrete.toBool()) return std::nullopt;
    return Symbol(NumberSymbol{boolean, poison_of(args)});
  }
  if (!concrete.isDouble()) return std::nullopt;
  const Expr real = Expr::call("float", {*expr});
  if (real.dense_double() != concrete.toDouble()) return std::nullopt;
  return Symbol(NumberSymbol{real, poison_of(args)});
}

}  // namespace cpd
