#pragma once

#include <stdexcept>
#include <string>

namespace cpd {

/// Where something went wrong; empty fields are left out of the message.
struct Where {
  std::string op{};      ///< the operation, e.g. `aten::view`
  std::string source{};  ///< file and line of the user's source, e.g. `model.py:12`
  std::string path{};    ///< a file, or the path of a key in a configuration, e.g. `mutator.unit`
};

/// The one exception of cpd. `what()` is a full sentence: what happened, where, what was expected.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string problem, Where where = {}, std::string expected = {});

  const std::string& problem() const { return problem_; }
  const Where& where() const { return where_; }
  const std::string& expected() const { return expected_; }

 private:
  std::string problem_;
  Where where_;
  std::string expected_;
};

}  // namespace cpd
