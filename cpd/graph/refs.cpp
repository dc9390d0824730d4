#include <cpd/graph/refs.h>

namespace cpd {

void for_each_ref(Op& op, const std::function<void(ValueId&)>& visit) {
  for (NamedArg& arg : op.args) {
    if (auto* ref = std::get_if<ValueRef>(&arg.value); ref && ref->id >= 0) visit(ref->id);
    if (auto* refs = std::get_if<std::vector<ValueRef>>(&arg.value)) {
      for (ValueRef& ref : *refs) {
        if (ref.id >= 0) visit(ref.id);
      }
    }
  }
}

void for_each_ref(Output& output, const std::function<void(ValueId&)>& visit) {
  if (output.kind == Output::Kind::kTensor) visit(output.value);
  for (Output& item : output.items) for_each_ref(item, visit);
}

}  // namespace cpd
