#include <cpd/core/error.h>

namespace cpd {
namespace {

std::string sentence(const std::string& problem, const Where& where, const std::string& expected) {
  std::string text;
  if (!where.path.empty()) text += where.path + ": ";
  text += problem;
  if (!where.op.empty()) text += ", at " + where.op;
  if (!where.source.empty()) text += " (" + where.source + ")";
  if (!expected.empty()) text += "; expected " + expected;
  return text;
}

}  // namespace

Error::Error(std::string problem, Where where, std::string expected)
    : std::runtime_error(sentence(problem, where, expected)),
      problem_(std::move(problem)),
      where_(std::move(where)),
      expected_(std::move(expected)) {}

}  // namespace cpd
