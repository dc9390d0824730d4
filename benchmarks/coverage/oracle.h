#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/plan/plan.h>

#include <string>
#include <vector>

namespace torch::jit {
struct Module;
}

/// What a pruned file is judged by: the dense file and the plan, nothing else of cpd.
namespace cpd::coverage {

using TensorList = std::vector<at::Tensor>;

/// Runs a module; tensors of its outputs in order.
TensorList run_file(const torch::jit::Module& module, const TensorList& inputs);

/// Makes parameters and buffers of floating point double; whole numbers stay.
void to_double(torch::jit::Module& module);

/// Sets the slices of a dense module to zero that read what the plan removes.
void zero_readers(torch::jit::Module& dense, const Plan& plan);

/// Has the pruned file the names of the dense one, in the same order, and the plan's shapes?
/// Returns the first difference; empty if there is none.
std::string compare_names(const torch::jit::Module& dense, const torch::jit::Module& pruned,
                          const Plan& plan);

/// max|a - b| / max|b|; infinite where shapes or numbers of outputs differ.
double error_between(const TensorList& a, const TensorList& b);

}  // namespace cpd::coverage
