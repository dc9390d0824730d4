#pragma once

#include <cpd/graph/graph.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace cpd::import {

struct TensorHandle;
struct Symbol;

/// A number read out of a tensor's data: may be looked at by nothing that shapes the graph.
struct Poison {
  std::string op;
  std::string where;
};

struct SymbolList {
  std::vector<Symbol> items;
};

/// What the import knows of a TorchScript value besides its concrete value: `monostate` for what
/// is a constant (None, strings, devices, modules, ...).
struct Symbol {
  using Handle = std::shared_ptr<TensorHandle>;
  using List = std::shared_ptr<SymbolList>;  ///< lists, tuples and the values of dicts
  std::variant<std::monostate, Handle, Expr, List, Poison> value;

  Symbol() = default;
  Symbol(Handle handle) : value(std::move(handle)) {}
  Symbol(Expr expr) : value(std::move(expr)) {}
  Symbol(List list) : value(std::move(list)) {}
  Symbol(Poison poison) : value(std::move(poison)) {}

  const Handle* handle() const { return std::get_if<Handle>(&value); }
  const Expr* expr() const { return std::get_if<Expr>(&value); }
  const List* list() const { return std::get_if<List>(&value); }
  const Poison* poison() const { return std::get_if<Poison>(&value); }
};

inline Symbol list_symbol(std::vector<Symbol> items = {}) {
  return Symbol(std::make_shared<SymbolList>(SymbolList{std::move(items)}));
}

}  // namespace cpd::import
