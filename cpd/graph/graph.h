#pragma once

#include <cpd/graph/expr.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cpd {

using OpId = int32_t;  ///< index of an op in its graph; -1 = none
using Shape = std::vector<int64_t>;

enum class DType {
  kUInt8,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFloat16,
  kBFloat16,
  kFloat32,
  kFloat64,
  kBool,
  kComplex64,
  kComplex128
};
const char* name_of(DType dtype);  ///< `float32`
std::optional<DType> dtype_of(const std::string& name);

enum class ValueKind {
  kInput,      ///< an input of the network
  kParameter,  ///< a parameter, buffer or constant: an entry of the model's table
  kResult      ///< an output of an op
};

/// A tensor in the graph, with what it was on the example inputs.
struct Value {
  std::string name;  ///< inputs: argument name; parameters: full name; results: free, may be empty
  ValueKind kind = ValueKind::kResult;
  DType dtype = DType::kFloat32;
  Shape shape;
  OpId producer = -1;  ///< of results
};

struct ValueRef {
  ValueId id = -1;  ///< -1: an absent entry of a list of optional tensors
  bool operator==(const ValueRef&) const = default;
};

/// One argument of an op: nothing, a tensor, a list of tensors, a number, a list of numbers
/// or a string (devices and the like).
using Arg = std::variant<std::monostate, ValueRef, std::vector<ValueRef>, Expr, std::vector<Expr>,
                         std::string>;

struct NamedArg {
  std::string name;  ///< the schema's argument name
  Arg value;
};

struct SourceLine {
  std::string file;  ///< of the user's source; empty if the file has no debug records
  int line = 0;
  std::string text() const;  ///< `model.py:12`, or empty
};

/// One functional operation: no op writes into its operands.
struct Op {
  std::string kind;            ///< `aten::relu`
  std::string overload;        ///< `Tensor`, often empty
  std::vector<NamedArg> args;  ///< all of them, in schema order
  std::vector<ValueId> outputs;
  SourceLine where;
  std::string scope;  ///< module path where known: `layer1.0.conv1`

  const Arg* find(const std::string& name) const;  ///< null if there is no such argument
  const Arg& arg(const std::string& name) const;   ///< throws cpd::Error if there is none
  void set(const std::string& name, Arg value);    ///< throws cpd::Error if there is none

  bool has(const std::string& name) const;        ///< argument exists and is not `None`
  ValueId tensor(const std::string& name) const;  ///< -1 if absent or None
  std::vector<ValueId> tensors(const std::string& name) const;  ///< of a list of tensors
  int64_t integer(const std::string& name) const;               ///< dense value
  int64_t integer_or(const std::string& name, int64_t otherwise) const;
  double real(const std::string& name) const;
  bool boolean(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name) const;

  /// Every tensor that the op reads, in order of arguments, absent ones left out.
  std::vector<ValueId> operands() const;
};

/// The structure in which a network returns its results.
struct Output {
  enum class Kind { kTensor, kTuple, kList, kDict, kNone, kNumber };
  Kind kind = Kind::kTensor;
  ValueId value = -1;             ///< of a tensor
  std::vector<Output> items;      ///< of tuples, lists and dicts
  std::vector<std::string> keys;  ///< of dicts and named tuples
  std::string type_name;          ///< of named tuples
  Expr number;                    ///< of numbers
};

/// A straight line of functional ops over values with shapes: no control flow, no mutation, no
/// type of LibTorch. Value ids are positions in `values`, op ids positions in `ops`; operands come
/// before their users. The text form is read back by `parse_graph`.
struct Graph {
  std::vector<Value> values;
  std::vector<Op> ops;
  std::vector<ValueId> inputs;
  Output output;

  const Value& value(ValueId id) const { return values.at(static_cast<size_t>(id)); }
  const Op& op(OpId id) const { return ops.at(static_cast<size_t>(id)); }
  ValueId add_value(Value value);
  /// Appends an op; sets the producer of its outputs.
  OpId add_op(Op op);
  /// All tensors of the output structure, in order.
  std::vector<ValueId> output_values() const;
  /// The ops that read each value.
  std::vector<std::vector<OpId>> users() const;

  /// Throws cpd::Error if ids, order, producers or size expressions are not consistent.
  void verify() const;
  std::string text() const;
};

/// Reads the text form; throws cpd::Error with the line and what was expected there.
Graph parse_graph(const std::string& text);

}  // namespace cpd
