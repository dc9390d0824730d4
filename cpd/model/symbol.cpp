#include <ATen/core/jit_type.h>
#include <cpd/model/argument.h>
#include <cpd/model/symbol.h>

namespace cpd {
namespace {

c10::IValue list_value(const ListSymbol& list, const c10::TypePtr& element) {
  switch (element->kind()) {
    case c10::TypeKind::TensorType: {
      c10::List<at::Tensor> values;
      for (const Symbol& item : list.items) values.push_back(concrete_of(item).toTensor());
      return values;
    }
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: {
      c10::List<int64_t> values;
      for (const Symbol& item : list.items) values.push_back(concrete_of(item, *element).toInt());
      return values;
    }
    case c10::TypeKind::FloatType: {
      c10::List<double> values;
      for (const Symbol& item : list.items) {
        values.push_back(concrete_of(item, *element).toDouble());
      }
      return values;
    }
    case c10::TypeKind::BoolType: {
      c10::List<bool> values;
      for (const Symbol& item : list.items) values.push_back(concrete_of(item, *element).toBool());
      return values;
    }
    default:
      break;
  }
  c10::impl::GenericList values(element);
  for (const Symbol& item : list.items) values.push_back(concrete_of(item, *element));
  return values;
}

c10::IValue tuple_value(const TupleSymbol& tuple) {
  std::vector<c10::IValue> values;
  for (const Symbol& item : tuple.items) values.push_back(concrete_of(item));
  const auto type = tuple.type ? tuple.type->cast<c10::TupleType>() : nullptr;
  if (type && type->name()) return c10::ivalue::Tuple::createNamed(std::move(values), type);
  return c10::ivalue::Tuple::create(std::move(values));
}

c10::IValue dict_value(const DictSymbol& dict) {
  c10::impl::GenericDict values(dict.key, dict.value);
  for (const auto& [key, value] : dict.items) {
    values.insert_or_assign(concrete_of(key), concrete_of(value, *dict.value));
  }
  return values;
}

/// The type of the elements that a schema wants; the list's own where it says nothing.
c10::TypePtr wanted_element(const ListSymbol& list, const c10::Type& type) {
  if (type.kind() == c10::TypeKind::OptionalType) {
    return wanted_element(list, *type.castRaw<c10::OptionalType>()->getElementType());
  }
  const auto* wanted = type.castRaw<c10::ListType>();
  if (!wanted || wanted->getElementType()->hasFreeVariables()) return list.element;
  return wanted->getElementType();
}

const c10::Type& without_optional(const c10::Type& type) {
  if (type.kind() != c10::TypeKind::OptionalType) return type;
  return *type.castRaw<c10::OptionalType>()->getElementType();
}

}  // namespace

Symbol make_list(c10::TypePtr element, Symbols items) {
  return Symbol(std::make_shared<ListSymbol>(ListSymbol{std::move(element), std::move(items)}));
}

Symbol make_tuple(c10::TypePtr type, Symbols items) {
  return Symbol(std::make_shared<TupleSymbol>(TupleSymbol{std::move(type), std::move(items)}));
}

Symbol make_integers(const std::vector<int64_t>& numbers) {
  Symbols items;
  for (int64_t number : numbers) items.push_back(Symbol::integer(number));
  return make_list(c10::IntType::get(), std::move(items));
}

c10::IValue concrete_of(const Symbol& symbol, const c10::Type& type) {
  if (const auto* number = symbol.number()) {
    return ivalue_of(number->expr.dense(), without_optional(type));
  }
  if (const auto* list = symbol.list()) return list_value(*list, wanted_element(*list, type));
  return concrete_of(symbol);
}

c10::IValue concrete_of(const Symbol& symbol) {
  if (const auto* constant = symbol.constant()) return *constant;
  if (const auto handle = symbol.tensor()) return handle->concrete;
  if (const auto* list = symbol.list()) return list_value(*list, list->element);
  if (const auto* tuple = symbol.tuple()) return tuple_value(*tuple);
  if (const auto* dict = symbol.dict()) return dict_value(*dict);
  return std::visit([](auto value) { return c10::IValue(value); }, symbol.number()->expr.dense());
}

void for_each_leaf(const Symbol& symbol, const std::function<void(const Symbol&)>& visit) {
  if (symbol.number() || symbol.tensor()) visit(symbol);
  if (const auto* list = symbol.list()) {
    for (const Symbol& item : list->items) for_each_leaf(item, visit);
  }
  if (const auto* tuple = symbol.tuple()) {
    for (const Symbol& item : tuple->items) for_each_leaf(item, visit);
  }
  if (const auto* dict = symbol.dict()) {
    for (const auto& [key, value] : dict->items) for_each_leaf(value, visit);
  }
}

}  // namespace cpd
