#pragma once

#include <cpd/model/import/builder.h>
#include <cpd/model/model.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <unordered_map>

namespace cpd::import {

/// Interprets a TorchScript graph once on example inputs: takes the branch of each `if`, unrolls
/// loops, and appends every tensor op that runs to a graph of cpd. Lists, dicts, integers and
/// control flow vanish; integers that follow input sizes become expressions.
class Interpreter {
 public:
  Interpreter(const torch::jit::Module& module, std::vector<at::Tensor> inputs);

  /// Fills graph and table of a model; the concrete result of the run is kept in `result`.
  Model run();
  const c10::IValue& result() const { return result_; }

 private:
  struct Bound {
    c10::IValue concrete;
    Symbol symbol;
  };

  void name_tensors(const torch::jit::Module& module, const std::string& prefix);
  void add_name(const at::Tensor& tensor, const std::string& name, ParameterRole role);
  void bind_inputs(torch::jit::Graph& graph, const c10::FunctionSchema& schema);
  void run_block(torch::jit::Block* block);
  void run_node(torch::jit::Node* node);
  void run_if(torch::jit::Node* node);
  void run_loop(torch::jit::Node* node);
  void run_attribute(torch::jit::Node* node);
  bool run_structure(torch::jit::Node* node);
  bool run_list_method(torch::jit::Node* node);
  bool run_size(torch::jit::Node* node);
  bool run_number(torch::jit::Node* node);
  void run_tensor_op(torch::jit::Node* node, const std::vector<Bound>& inputs,
                     const std::vector<c10::IValue>& outputs);
  std::vector<c10::IValue> execute(torch::jit::Node* node);

  Bound& at(torch::jit::Value* value);
  void bind(torch::jit::Value* value, c10::IValue concrete, Symbol symbol);
  Symbol constant_symbol(const c10::IValue& value, const std::string& name);
  Handle parameter_handle(const at::Tensor& tensor, const std::string& name);
  Arg arg_of(const Bound& bound, torch::jit::Node* node);
  ValueId value_of(const Bound& bound);
  Op make_op(torch::jit::Node* node, const std::vector<Bound>& inputs);
  Output output_of(const c10::IValue& concrete, const Symbol& symbol);
  bool depends_on_input(const Bound& bound);

  torch::jit::Module module_;
  std::vector<at::Tensor> inputs_;
  Model model_;
  Builder builder_;
  std::unordered_map<torch::jit::Value*, Bound> bound_;
  std::map<std::pair<const void*, std::string>, Bound> attributes_;  ///< set while running
  std::unordered_map<const void*, size_t> table_;                    ///< tensor -> parameter
  std::unordered_map<const void*, Handle> handles_;
  std::vector<bool> from_input_;
  c10::IValue result_;
  int constants_ = 0;
};

/// `model.py:12` of the innermost line of the user's own source; empty without debug records.
SourceLine source_line(const torch::jit::Node* node);

}  // namespace cpd::import
