#include <ATen/core/jit_type.h>
#include <cpd/model/tensor_ops.h>

#include <map>

namespace cpd {
namespace {

/// Statistics of the batch are used while training, the running ones in evaluation: the mode is
/// the network's own, whatever it was when the network was traced.
Symbols batch_norm(Call& call) {
  const char* mode = call.schema.name() == "aten::instance_norm" ? "use_input_stats" : "training";
  if (call.has("running_mean")) call.follow_mode(mode);
  return call.keep();
}

Symbols native_batch_norm(Call& call) {
  if (call.has("running_mean")) call.follow_mode("training");
  Symbol result =
      call.recorder.call1("aten::batch_norm", "",
                          {call.arg("input"), call.arg("weight"), call.arg("bias"),
                           call.arg("running_mean"), call.arg("running_var"), call.arg("training"),
                           call.arg("momentum"), call.arg("eps"), Symbol::boolean(true)});
  return {result, Symbol(), Symbol()};
}

Symbols native_layer_norm(Call& call) {
  Symbol result =
      call.recorder.call1("aten::layer_norm", "",
                          {call.arg("input"), call.arg("normalized_shape"), call.arg("weight"),
                           call.arg("bias"), call.arg("eps"), Symbol::boolean(true)});
  return {result, Symbol(), Symbol()};
}

Symbols native_group_norm(Call& call) {
  Symbol result = call.recorder.call1("aten::group_norm", "",
                                      {call.arg("input"), call.arg("group"), call.arg("weight"),
                                       call.arg("bias"), call.arg("eps"), Symbol::boolean(true)});
  return {result, Symbol(), Symbol()};
}

}  // namespace

Canonical canonical_norm(const std::string& kind) {
  static const std::map<std::string, Canonical> rules = {
      {"aten::batch_norm", batch_norm},
      {"aten::instance_norm", batch_norm},
      {"aten::native_batch_norm", native_batch_norm},
      {"aten::native_layer_norm", native_layer_norm},
      {"aten::native_group_norm", native_group_norm}};
  const auto found = rules.find(kind);
  return found == rules.end() ? nullptr : found->second;
}

}  // namespace cpd
