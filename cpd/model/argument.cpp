#include <ATen/core/jit_type.h>
#include <cpd/core/error.h>
#include <cpd/model/argument.h>

namespace cpd {
namespace {

const c10::Type& without_optional(const c10::Type& type) {
  if (type.kind() != c10::TypeKind::OptionalType) return type;
  return *type.castRaw<c10::OptionalType>()->getElementType();
}

/// The type of a list's elements; `type` itself if it is no list (a number for a list of one).
const c10::Type& element_of(const c10::Type& type) {
  const auto* list = type.castRaw<c10::ListType>();
  return list ? *list->getElementType() : type;
}

c10::IValue number_list(const std::vector<Number>& numbers, const c10::Type& element) {
  switch (element.kind()) {
    case c10::TypeKind::FloatType: {
      c10::List<double> list;
      for (const Number& number : numbers) list.push_back(as_double(number));
      return list;
    }
    case c10::TypeKind::BoolType: {
      c10::List<bool> list;
      for (const Number& number : numbers) list.push_back(as_bool(number));
      return list;
    }
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: {
      c10::List<int64_t> list;
      for (const Number& number : numbers) list.push_back(as_int(number));
      return list;
    }
    case c10::TypeKind::TensorType:
      return c10::List<at::Tensor>();
    default:
      break;
  }
  if (element.kind() == c10::TypeKind::OptionalType) {
    return c10::List<std::optional<at::Tensor>>();
  }
  if (element.kind() != c10::TypeKind::NumberType) {
    throw Error("a list of " + element.str() + " cannot be given", {}, "numbers or tensors");
  }
  c10::List<at::Scalar> scalars;
  for (const Number& number : numbers) scalars.push_back(ivalue_of(number, element).toScalar());
  return scalars;
}

c10::IValue string_value(const std::string& text, const c10::Type& type) {
  if (type.kind() == c10::TypeKind::DeviceObjType) return c10::Device(text);
  return text;
}

class Boxer {
 public:
  const c10::Type& type;
  const Sizes& sizes;
  const std::function<const at::Tensor&(ValueId)>& tensor;

  c10::IValue operator()(std::monostate) const { return c10::IValue(); }
  c10::IValue operator()(const ValueRef& ref) const {
    return ref.id < 0 ? c10::IValue() : c10::IValue(tensor(ref.id));
  }
  c10::IValue operator()(const Expr& expr) const { return ivalue_of(number(expr), type); }
  c10::IValue operator()(const std::vector<Expr>& exprs) const {
    std::vector<Number> numbers;
    for (const Expr& expr : exprs) numbers.push_back(number(expr));
    return number_list(numbers, element_of(type));
  }
  c10::IValue operator()(const std::string& text) const { return string_value(text, type); }
  c10::IValue operator()(const std::vector<ValueRef>& refs) const {
    if (element_of(type).kind() == c10::TypeKind::OptionalType) {
      c10::List<std::optional<at::Tensor>> list;
      for (const ValueRef& ref : refs) {
        list.push_back(ref.id < 0 ? std::nullopt : std::make_optional(tensor(ref.id)));
      }
      return list;
    }
    c10::List<at::Tensor> list;
    for (const ValueRef& ref : refs) list.push_back(tensor(ref.id));
    return list;
  }

 private:
  Number number(const Expr& expr) const {
    return expr.is_constant() ? expr.dense() : expr.evaluate(sizes);
  }
};

}  // namespace

c10::IValue ivalue_of(const Number& number, const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::FloatType:
      return as_double(number);
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return as_int(number);
    case c10::TypeKind::BoolType:
      return as_bool(number);
    case c10::TypeKind::ListType:
      return number_list({number}, element_of(type));
    default:
      break;
  }
  return std::visit([](auto value) { return c10::IValue(value); }, number);
}

c10::IValue ivalue_of(const Arg& arg, const c10::Type& type, const Sizes& sizes,
                      const std::function<const at::Tensor&(ValueId)>& tensor) {
  return std::visit(Boxer{without_optional(type), sizes, tensor}, arg);
}

void store_outputs(const std::vector<c10::IValue>& stack, const Op& op, Tensors& values) {
  size_t next = 0;
  const auto store = [&](const at::Tensor& tensor) {
    if (next < op.outputs.size()) values[static_cast<size_t>(op.outputs[next])] = tensor;
    next++;
  };
  for (const c10::IValue& value : stack) {
    if (value.isTensor()) {
      store(value.toTensor());
    } else if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorVector()) store(tensor);
    }
  }
  if (next != op.outputs.size()) {
    throw Error("the op returned " + std::to_string(next) + " tensors",
                {op.kind, op.where.text(), {}}, std::to_string(op.outputs.size()));
  }
}

std::string first_line(const std::string& message) {
  const size_t start = message.find_first_not_of(" \n\t");
  if (start == std::string::npos) return message;
  return message.substr(start, message.find('\n', start) - start);
}

}  // namespace cpd
