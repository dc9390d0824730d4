#pragma once

#include <ATen/core/ivalue.h>
#include <cpd/graph/graph.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace cpd {

/// Where in the user's program something happens.
struct Place {
  SourceLine where;
  std::string scope;
};

/// One view operation between a tensor and the memory that it looks into.
struct ViewStep {
  Op op;                      ///< `self` is filled in when the view is made again
  size_t output = 0;          ///< which of the op's outputs
  std::vector<Shape> shapes;  ///< of all outputs
  Shape base_shape;
};

/// Memory that tensors share: its value in the graph changes with every write.
struct Memory {
  ValueId current = -1;
  int version = 0;
  bool data_dependent = false;   ///< its data depend on an input of the network
  bool shape_dependent = false;  ///< its sizes may depend on sizes of an input
  int parameter = -1;            ///< entry of the table, if it is a parameter's
};

/// A tensor of the running program: what it is on the example inputs, and what it is in the graph.
struct Handle {
  at::Tensor concrete;
  std::shared_ptr<Memory> memory;  ///< null: a number that no tensor op has needed yet
  std::vector<ViewStep> views;     ///< from the memory's value to this tensor
  ValueId cached = -1;             ///< its value in the graph at `version` of the memory
  int version = -1;
  bool requires_grad = false;
  std::optional<Expr> number;  ///< what a tensor without dimensions holds, where that is known
  bool is_constant = false;    ///< a constant of the program, put into the table when needed
};
using HandlePtr = std::shared_ptr<Handle>;

/// Why a number cannot be used: it was read from data that depend on an input.
struct Poison {
  std::string op;
  std::string where;
};

struct NumberSymbol {
  Expr expr;
  std::shared_ptr<const Poison> poison;
};

struct ListSymbol;
struct TupleSymbol;
struct DictSymbol;

/// A value of the running program: a constant (None, string, device, module), a number, a tensor or
/// a container. Containers are shared, as in Python.
struct Symbol {
  std::variant<c10::IValue, NumberSymbol, HandlePtr, std::shared_ptr<ListSymbol>,
               std::shared_ptr<TupleSymbol>, std::shared_ptr<DictSymbol>>
      data;

  Symbol() : data(c10::IValue()) {}
  explicit Symbol(c10::IValue constant) : data(std::move(constant)) {}
  explicit Symbol(HandlePtr handle) : data(std::move(handle)) {}
  explicit Symbol(Expr expr) : data(NumberSymbol{std::move(expr), nullptr}) {}
  explicit Symbol(NumberSymbol number) : data(std::move(number)) {}
  explicit Symbol(std::shared_ptr<ListSymbol> list) : data(std::move(list)) {}
  explicit Symbol(std::shared_ptr<TupleSymbol> tuple) : data(std::move(tuple)) {}
  explicit Symbol(std::shared_ptr<DictSymbol> dict) : data(std::move(dict)) {}

  static Symbol integer(int64_t value) { return Symbol(Expr::constant(value)); }
  static Symbol real(double value) { return Symbol(Expr::constant(value)); }
  static Symbol boolean(bool value) { return Symbol(Expr::constant(value)); }

  const c10::IValue* constant() const { return std::get_if<c10::IValue>(&data); }
  const NumberSymbol* number() const { return std::get_if<NumberSymbol>(&data); }
  HandlePtr tensor() const {
    const auto* handle = std::get_if<HandlePtr>(&data);
    return handle ? *handle : nullptr;
  }
  ListSymbol* list() const { return container<ListSymbol>(); }
  TupleSymbol* tuple() const { return container<TupleSymbol>(); }
  DictSymbol* dict() const { return container<DictSymbol>(); }
  bool is_none() const { return constant() != nullptr && constant()->isNone(); }

 private:
  template <typename Type>
  Type* container() const {
    const auto* pointer = std::get_if<std::shared_ptr<Type>>(&data);
    return pointer ? pointer->get() : nullptr;
  }
};
using Symbols = std::vector<Symbol>;

struct ListSymbol {
  c10::TypePtr element;
  Symbols items;
};

struct TupleSymbol {
  c10::TypePtr type;  ///< a TupleType, named or not; may be null
  Symbols items;
};

struct DictSymbol {
  c10::TypePtr key, value;
  std::vector<std::pair<Symbol, Symbol>> items;
};

Symbol make_list(c10::TypePtr element, Symbols items);
Symbol make_tuple(c10::TypePtr type, Symbols items);
/// A list of integers.
Symbol make_integers(const std::vector<int64_t>& numbers);

/// What a symbol is on the example inputs, boxed for a schema's type.
c10::IValue concrete_of(const Symbol& symbol, const c10::Type& type);
/// The same without a wanted type.
c10::IValue concrete_of(const Symbol& symbol);

/// Every tensor and number inside a symbol.
void for_each_leaf(const Symbol& symbol, const std::function<void(const Symbol&)>& visit);

}  // namespace cpd
