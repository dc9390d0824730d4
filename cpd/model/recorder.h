#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <cpd/model/model.h>
#include <cpd/model/symbol.h>

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace torch::jit {
struct Module;
}

namespace cpd {

/// Runs operators on the example inputs and records them as functional ops of a graph: in-place
/// updates become new values, writes into views become scatters into the memory behind them.
class Recorder {
 public:
  explicit Recorder(const torch::jit::Module& module);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// What is recorded from now on happens here.
  void set_place(Place place) { place_ = std::move(place); }
  const Place& place() const { return place_; }
  [[noreturn]] void fail(const std::string& problem, const std::string& op = {},
                         const std::string& expected = {}) const;
  void note(const std::string& text);
  /// The program has a layer that is in training mode whatever the network's mode is.
  void see_fixed_training();
  bool has_fixed_training() const { return fixed_training_; }

  Symbol add_input(const std::string& name, const at::Tensor& tensor);
  /// A tensor met in the program: an entry of the table, or a constant.
  Symbol table_tensor(const at::Tensor& tensor, const std::string& name);
  /// A value that an operator outside the graph returned: tensors by identity, numbers as
  /// constants or poisoned.
  Symbol symbol_of(const c10::IValue& value, const std::shared_ptr<const Poison>& poison = {},
                   const std::string& name = {});
  /// Keeps tensors known by identity, so that `symbol_of` finds them in what an operator returns.
  std::vector<HandlePtr> known;

  /// Runs an operator that writes nothing, and records it. Arguments are in schema order; missing
  /// ones at the end take their defaults.
  Symbols call(const std::string& kind, const std::string& overload, Symbols args);
  Symbol call1(const std::string& kind, const std::string& overload, Symbols args);
  /// Runs an operator that writes into its first argument.
  Symbol call_in_place(const c10::FunctionSchema& schema, const Symbols& args);
  /// Replaces what `target` holds, in the program and in the graph.
  void write(const HandlePtr& target, const Symbol& result);
  /// A tensor that shares the memory of another one and looks the same.
  Symbol alias(const HandlePtr& handle);
  /// A tensor of its own with the same value.
  Symbol copy(const HandlePtr& handle, const at::Tensor& concrete);
  /// A tensor without dimensions that holds a number.
  Symbol number_tensor(const Expr& number, const at::Tensor& concrete);

  /// The size of one dimension: an expression unless it can never change.
  Expr size(const HandlePtr& handle, int64_t dim);
  Symbol sizes(const HandlePtr& handle);
  /// The tensor's value in the graph; makes views again after writes.
  ValueId value_of(const HandlePtr& handle);

  /// Ends the recording; restores tensors that the program wrote to.
  Model finish(const Symbol& result);

 private:
  void read_table(const torch::jit::Module& module, const std::string& prefix);
  void add_entry(const at::Tensor& tensor, const std::string& name, ParameterRole role);
  HandlePtr new_handle(const at::Tensor& concrete, ValueId value, bool data, bool shape);
  ValueId add_result(const Shape& shape, DType dtype);
  Arg arg_of(const Symbol& symbol, const c10::Argument& argument, const std::string& op);
  Symbols run(const c10::OperatorHandle& op, const Symbols& args, const Op& recorded);
  Symbols wrap_outputs(const c10::FunctionSchema& schema, const std::vector<c10::IValue>& stack,
                       const Symbols& args, Op op);
  Symbol wrap_tensor(const at::Tensor& tensor, const Symbols& args, bool may_alias, const Op& op,
                     size_t index, const std::vector<Shape>& shapes);
  ValueId scatter(const ViewStep& step, ValueId base, ValueId part);
  ValueId emit(Op op, const std::vector<Shape>& shapes, DType dtype, size_t wanted);
  ValueId reshape_to(ValueId value, ValueId like, const Shape& shape, DType dtype);
  Output output_of(const Symbol& symbol);
  void protect(const HandlePtr& target);

  Graph graph_;
  std::vector<Parameter> table_;
  std::unordered_map<const void*, size_t> table_index_;
  std::unordered_map<size_t, HandlePtr> table_handles_;
  std::vector<std::pair<at::Tensor, at::Tensor>> written_;  ///< tensor, its data before
  std::vector<std::string> notes_;
  int constants_ = 0;
  bool fixed_training_ = false;
  Place place_;
};

}  // namespace cpd
