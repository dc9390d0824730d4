#pragma once

#include <cpd/model/recorder.h>

namespace cpd {

/// Runs and records one tensor operator of the user's program in canonical form:
/// every spelling of convolution becomes `aten::convolution`, views become `aten::reshape`, copies
/// that change nothing vanish, in-place operators become functional, and so on.
Symbols run_tensor_op(Recorder& recorder, const c10::FunctionSchema& schema, Symbols args);

/// An operator of the program on its way to the canonical form.
struct Call {
  Recorder& recorder;
  const c10::FunctionSchema& schema;
  Symbols args;

  const Symbol& arg(const std::string& name) const;
  bool has(const std::string& name) const;  ///< there is such an argument, and it is not None
  void set(const std::string& name, Symbol value);
  HandlePtr tensor(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  /// Makes an argument that says whether the layer trains follow the network's own mode.
  void follow_mode(const std::string& name);
  std::vector<int64_t> integers(const std::string& name) const;
  /// The operator as it is.
  Symbols keep() const { return recorder.call(schema.name(), schema.overload_name(), args); }
};

/// The rule of a canonical form; null if the operator stays what it is.
using Canonical = Symbols (*)(Call&);
Canonical canonical_convolution(const std::string& kind);
Canonical canonical_indexing(const std::string& kind);
Canonical canonical_layout(const std::string& kind);
Canonical canonical_norm(const std::string& kind);
Canonical canonical_attention(const std::string& kind);

}  // namespace cpd
