#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <cpd/core/error.h>
#include <cpd/model/model.h>
#include <cpd/model/scalar_type.h>

#include <charconv>

namespace cpd {
namespace {

constexpr const char* kForm =
    "a shape with an optional dtype and range, such as 2,3,224,224 or "
    "1,128:int64:0-999";

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

int64_t number(const std::string& text, const std::string& whole) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (text.empty() || result.ec != std::errc() || result.ptr != end || value < 0) {
    throw Error("the input `" + whole + "` has `" + text + "` where a number should be", {}, kForm);
  }
  return value;
}

bool is_real(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32 ||
         dtype == DType::kFloat64;
}

}  // namespace

InputSpec input(Shape shape, DType dtype) {
  InputSpec spec;
  spec.shape = std::move(shape);
  spec.dtype = dtype;
  return spec;
}

InputSpec parse_input(const std::string& text) {
  const auto parts = split(text, ':');
  if (parts.size() > 3) throw Error("the input `" + text + "` has too many parts", {}, kForm);
  InputSpec spec;
  for (const std::string& size : split(parts[0], ',')) {
    spec.shape.push_back(number(size, text));
    if (spec.shape.back() == 0) throw Error("the input `" + text + "` has a size of 0", {}, kForm);
  }
  if (parts.size() > 1) {
    const auto dtype = dtype_of(parts[1]);
    if (!dtype) throw Error("the input `" + text + "` has the dtype `" + parts[1] + "`", {}, kForm);
    spec.dtype = *dtype;
  }
  if (parts.size() > 2) {
    const auto range = split(parts[2], '-');
    if (range.size() != 2) throw Error("the input `" + text + "` has no range", {}, kForm);
    spec.low = number(range[0], text);
    spec.high = number(range[1], text);
    if (spec.high < spec.low) throw Error("the range of `" + text + "` is empty", {}, kForm);
  }
  return spec;
}

at::Tensor random_input(const InputSpec& spec, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::ScalarType type = scalar_type_of(spec.dtype);
  if (is_real(spec.dtype)) {
    return at::randn(spec.shape, generator, at::TensorOptions(at::kFloat)).to(type);
  }
  // Without a range: 0 and 1, which the smallest embedding and every mask accept.
  const int64_t high = spec.high < 0 ? spec.low + 1 : spec.high;
  return at::randint(spec.low, high + 1, spec.shape, generator, at::TensorOptions(at::kLong))
      .to(type);
}

}  // namespace cpd
