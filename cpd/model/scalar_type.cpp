#include <cpd/core/error.h>
#include <cpd/model/scalar_type.h>

#include <array>

namespace cpd {
namespace {

/// In the order of `DType`.
constexpr std::array<at::ScalarType, 12> kScalarTypes = {
    at::kByte,     at::kChar,  at::kShort,  at::kInt,  at::kLong,         at::kHalf,
    at::kBFloat16, at::kFloat, at::kDouble, at::kBool, at::kComplexFloat, at::kComplexDouble};

}  // namespace

at::ScalarType scalar_type_of(DType dtype) { return kScalarTypes.at(static_cast<size_t>(dtype)); }

DType dtype_of(at::ScalarType type) {
  for (size_t i = 0; i < kScalarTypes.size(); i++) {
    if (kScalarTypes[i] == type) return static_cast<DType>(i);
  }
  throw Error(std::string("a tensor has the dtype ") + c10::toString(type), {},
              "an integer, real, complex or boolean dtype");
}

}  // namespace cpd
