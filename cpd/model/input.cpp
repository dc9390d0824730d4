#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <cpd/core/error.h>
#include <cpd/model/model.h>
#include <cpd/model/scalar_type.h>

#include <charconv>

namespace cpd {
namespace {

[[noreturn]] void refuse(const std::string& text, const std::string& problem) {
  throw Error("input '" + text + "': " + problem, {},
              "sizes like 2,3,224,224, with a dtype 1,128:int64, with a range 1,128:int64:0-999");
}

int64_t whole_number(const std::string& text, const std::string& all) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    refuse(all, "'" + text + "' is no number");
  return value;
}

std::vector<std::string> pieces(const std::string& text, char separator) {
  std::vector<std::string> result(1);
  for (char c : text) {
    if (c == separator)
      result.emplace_back();
    else
      result.back() += c;
  }
  return result;
}

}  // namespace

InputSpec input(Shape shape, DType dtype) { return {std::move(shape), dtype, 0, -1}; }

InputSpec parse_input(const std::string& text) {
  const auto parts = pieces(text, ':');
  if (parts.size() > 3) refuse(text, "too many ':'");
  InputSpec spec;
  for (const auto& size : pieces(parts[0], ',')) {
    spec.shape.push_back(whole_number(size, text));
    if (spec.shape.back() < 1) refuse(text, "a size below 1");
  }
  if (parts.size() > 1) {
    const auto dtype = dtype_of(parts[1]);
    if (!dtype) refuse(text, "'" + parts[1] + "' is no dtype");
    spec.dtype = *dtype;
  }
  if (parts.size() > 2) {
    const auto range = pieces(parts[2], '-');
    if (range.size() != 2) refuse(text, "'" + parts[2] + "' is no range");
    spec.low = whole_number(range[0], text);
    spec.high = whole_number(range[1], text);
    if (spec.high < spec.low) refuse(text, "an empty range");
  }
  return spec;
}

at::Tensor random_input(const InputSpec& spec, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto type = scalar_type_of(spec.dtype);
  if (at::isFloatingType(type)) {
    return at::randn(spec.shape, generator, at::TensorOptions(at::kFloat)).to(type);
  }
  const int64_t high = spec.high < 0 ? 1 : spec.high;
  return at::randint(spec.low, high + 1, spec.shape, generator, at::TensorOptions(at::kLong))
      .to(type);
}

}  // namespace cpd
