#include <cpd/core/error.h>
#include <cpd/units/mutable_block_unit.h>

namespace cpd {
namespace {

UnitOptions of_block(const UnitOptions& options) {
  UnitOptions result;
  result.choice_mode = ChoiceMode::kNumber;
  result.frozen = options.frozen;
  return result;
}

}  // namespace

MutableBlockUnit::MutableBlockUnit(const ChannelGroup& group, const UnitOptions& options)
    : MutableChannelUnit(group, of_block(options)) {}

Bounds MutableBlockUnit::bounds() const { return {.of = 1, .min = 0}; }

int64_t MutableBlockUnit::number_of(const Choice& choice) const {
  if (std::holds_alternative<double>(choice)) return cpd::number_of(choice, 1, name());
  const int64_t number = std::get<int64_t>(choice);
  if (number == 0 || number == 1) return number;
  throw Error("unit " + name() + " cannot choose " + std::to_string(number), {},
              "1, the block stays, or 0, it is dropped");
}

Choice MutableBlockUnit::sample_choice(std::mt19937_64& random) const {
  return static_cast<int64_t>(random() % 2);
}

}  // namespace cpd
