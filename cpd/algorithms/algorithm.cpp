#include <cpd/algorithms/algorithm.h>
#include <cpd/core/error.h>

#include <ostream>

namespace cpd {

Algorithm::Algorithm(std::unique_ptr<ChannelMutator> mutator) : mutator_(std::move(mutator)) {
  if (mutator_ == nullptr) throw Error("an algorithm has no mutator");
}

std::string Algorithm::text() const {
  return type() + "(\n  (architecture): " + architecture().text(2) +
         "\n  (mutator): " + mutator().text(2) + "\n)";
}

std::ostream& operator<<(std::ostream& out, const Algorithm& algorithm) {
  return out << algorithm.text();
}

}  // namespace cpd
