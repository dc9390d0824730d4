#pragma once

#include <cpd/model/model.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cpd::exporters {

/// Writes the graph of a model as the `forward` graph of a TorchScript module: one node for each
/// op, sizes as live `aten::size` and arithmetic, parameters read at their module path.
class GraphWriter {
 public:
  /// `root` holds the tensors of the model under their names.
  GraphWriter(const Model& model, const torch::jit::Module& root);

  /// Throws cpd::Error for an op that cannot be written as TorchScript.
  std::shared_ptr<torch::jit::Graph> write();

 private:
  using Node = torch::jit::Node;
  using JitValue = torch::jit::Value;

  void write_inputs();
  void write_counters();
  void write_op(const Op& op);
  void unpack(Node* node, const Op& op, const c10::FunctionSchema& schema);
  JitValue* tensor(ValueId value);
  JitValue* read_attribute(const std::string& path);
  JitValue* module_at(const std::string& path);
  JitValue* constant_tensor(const at::Tensor& tensor);
  JitValue* device();
  bool follows_input(const Op& op, const NamedArg& arg) const;
  JitValue* dtype();
  JitValue* training();
  JitValue* number(const Expr& expr);
  JitValue* size_call(const Expr& expr);
  JitValue* call(const Expr& expr);
  JitValue* as_type_of(JitValue* value, const Number& like);
  JitValue* argument(const Arg& arg, const c10::TypePtr& type);
  JitValue* list_argument(const std::vector<Expr>& exprs, const c10::TypePtr& type);
  JitValue* list_argument(const std::vector<ValueRef>& refs, const c10::TypePtr& type);
  JitValue* output(const Output& structure);
  JitValue* none(const c10::TypePtr& type);

  const Model& model_;
  torch::jit::Module root_;
  std::shared_ptr<torch::jit::Graph> graph_;
  std::vector<const Parameter*> table_;  ///< by value
  std::vector<JitValue*> values_;
  std::map<std::string, JitValue*> modules_;
  std::map<std::string, JitValue*> numbers_;
  JitValue* device_ = nullptr;
  JitValue* dtype_ = nullptr;
};

/// The module that owns an attribute, and its position there; the position is -1 if there is none.
std::pair<torch::jit::Module, int> find_attribute(const torch::jit::Module& root,
                                                  const std::string& path);

/// The buffers that count training batches, one for each batch norm of the graph that keeps
/// statistics, in order; a shared one as often as it is used.
std::vector<std::string> batch_counters(const Model& model);

}  // namespace cpd::exporters
