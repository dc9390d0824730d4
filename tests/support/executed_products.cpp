// LibTorch is built with NDEBUG, and the layout of RecordFunction depends on it.
#ifndef NDEBUG
#define NDEBUG
#endif
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <support/executed_products.h>

#include <memory>
#include <set>
#include <string>

namespace cpd::testing {
namespace {

struct Call : at::ObserverContext {
  int64_t per_output = 0;  ///< products for each element of the output
  int64_t fixed = 0;       ///< products whatever the output
};

int64_t& total() {
  thread_local int64_t value = 0;
  return value;
}
int& depth() {
  thread_local int value = 0;
  return value;
}

/// An argument of an op. What a call hands over may be the interpreter's whole stack: the arguments
/// are the last of it.
const c10::IValue& argument(const at::RecordFunction& call, size_t i) {
  const auto inputs = call.inputs();
  return inputs[inputs.size() - call.num_inputs() + i];
}
at::Tensor input(const at::RecordFunction& call, size_t i) { return argument(call, i).toTensor(); }
/// The first result, on the same stack.
at::Tensor output(const at::RecordFunction& call) {
  const auto outputs = call.outputs();
  return outputs[outputs.size() - call.num_outputs()].toTensor();
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& call) {
  static const std::set<std::string> matrix = {"aten::mm", "aten::bmm", "aten::mv", "aten::dot"};
  static const std::set<std::string> adding = {"aten::addmm", "aten::addmv", "aten::baddbmm"};
  const std::string name = call.name();
  auto context = std::make_unique<Call>();
  if (name == "aten::convolution") {
    const at::Tensor weight = input(call, 1);
    const int64_t kernel = weight.numel() / weight.size(0);
    const bool transposed = argument(call, 6).toBool();
    (transposed ? context->fixed : context->per_output) =
        transposed ? input(call, 0).numel() * kernel : kernel;
  } else if (matrix.count(name) != 0) {
    context->per_output = input(call, 0).size(-1);
  } else if (adding.count(name) != 0) {
    context->per_output = input(call, 1).size(-1);
  } else if (name == "aten::_scaled_dot_product_flash_attention_for_cpu") {
    const int64_t keys = input(call, 1).size(-2);
    context->fixed = input(call, 0).numel() * keys;
    context->per_output = keys;
  } else {
    return nullptr;
  }
  ++depth();
  return context;
}

void end(const at::RecordFunction& call, at::ObserverContext* context) {
  if (context == nullptr) return;
  if (--depth() > 0) return;
  const auto* counted = static_cast<const Call*>(context);
  total() += counted->fixed + counted->per_output * output(call).numel();
}

}  // namespace

ExecutedProducts::ExecutedProducts() {
  total() = 0;
  depth() = 0;
  handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begin, end)
                                           .needsInputs(true)
                                           .needsOutputs(true)
                                           .scopes({at::RecordScope::FUNCTION}));
}

ExecutedProducts::~ExecutedProducts() { at::removeCallback(handle_); }

int64_t ExecutedProducts::macs() const { return total(); }

}  // namespace cpd::testing
