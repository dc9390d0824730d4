#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/graph/graph.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace torch::nn {
class Module;
}
namespace torch::jit {
struct Module;
}

namespace cpd {

/// An example input: a shape, a dtype and the range from which random values are drawn.
struct InputSpec {
  Shape shape;
  DType dtype = DType::kFloat32;
  int64_t low = 0;    ///< of integers: smallest value
  int64_t high = -1;  ///< of integers: largest value; -1 = chosen so that embeddings are not left
};

InputSpec input(Shape shape, DType dtype = DType::kFloat32);
/// Reads `2,3,224,224`, `1,128:int64`, `1,128:int64:0-999`; throws cpd::Error.
InputSpec parse_input(const std::string& text);
/// A random tensor for a spec, the same for the same seed: normal for real dtypes.
at::Tensor random_input(const InputSpec& spec, uint64_t seed);

enum class ParameterRole { kParameter, kBuffer, kConstant };

/// A tensor that the network owns. One entry for each tensor, whatever number of names it has.
struct Parameter {
  std::string name;                  ///< the first name, as the user knows it
  std::vector<std::string> aliases;  ///< further names of the same tensor
  ParameterRole role = ParameterRole::kParameter;
  ValueId value = -1;  ///< its value in the graph; -1: the forward pass does not read it
  at::Tensor tensor;   ///< shared with the module that the model was made of
};

/// Which sizes of the inputs are free: found by running the network on other sizes.
struct FreeSizes {
  int batch_dim = 0;
  bool batch = false;  ///< a second batch size gave the original's outputs
  std::vector<std::vector<bool>>
      dims;          ///< for each input and dimension: free (batch, height, width)
  std::string note;  ///< why something is fixed; empty if nothing is
};

/// A network: a graph, the table of its tensors, and the module tree that an export rebuilds.
class Model {
 public:
  Graph graph;
  std::vector<Parameter> parameters;
  std::vector<at::Tensor> example_inputs;
  FreeSizes free;
  std::string source;  ///< file name or `C++ module`
  /// The module tree with attribute names, order and types (never run by cpd).
  std::shared_ptr<torch::jit::Module> skeleton;
  /// What the forward pass of the original cannot keep in an export, one line each.
  std::vector<std::string> notes;

  /// The entry of a parameter value; throws cpd::Error if `value` is none.
  const Parameter& parameter(ValueId value) const;
  Parameter& parameter(ValueId value);
  const Parameter* find(const std::string& name) const;  ///< by name or alias; null if unknown

  /// Throws cpd::Error if graph and table do not fit.
  void verify() const;
  std::string text() const;
};

struct ImportOptions {
  int batch_dim = 0;
  uint64_t seed = 0;        ///< for random example inputs
  bool probe_sizes = true;  ///< run a second batch size and a second height and width
};

/// Reads a TorchScript file and interprets it once on random inputs of the given shapes.
Model load_model(const std::string& path, const std::vector<InputSpec>& inputs,
                 const ImportOptions& options = {});
inline Model load_model(const std::string& path, InputSpec input) {
  return load_model(path, std::vector<InputSpec>{std::move(input)});
}
/// The same on given tensors.
Model load_model(const std::string& path, const std::vector<at::Tensor>& example_inputs,
                 const ImportOptions& options = {});
/// The same for a module in memory; its parameters are shared, not copied.
Model import_module(const torch::jit::Module& module, const std::vector<at::Tensor>& example_inputs,
                    const ImportOptions& options = {});

/// Calls the C++ module on tensors: what `trace_model` traces.
using Forward = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;
/// Traces a C++ module; parameters are shared with it.
Model trace_model(torch::nn::Module& module, const Forward& forward,
                  const std::vector<at::Tensor>& example_inputs, const ImportOptions& options = {});
/// The same for a module whose `forward` takes as many tensors as there are examples and returns
/// a tensor (call with any `std::shared_ptr` or module holder of a type that has such a forward).
template <typename ModulePointer>
Model trace_model(ModulePointer module, std::initializer_list<at::Tensor> example_inputs,
                  const ImportOptions& options = {});

}  // namespace cpd

#include <cpd/model/trace_model.inl>
