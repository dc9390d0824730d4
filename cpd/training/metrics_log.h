#pragma once

#include <cpd/core/json.h>

#include <cstdint>
#include <string>

namespace cpd {

/// Metrics of a run as one JSON object in each line, each with a `step`.
class MetricsLog {
 public:
  /// Does not write anything without a path. Lines of a former run after `step` are removed: all of
  /// them for 0. Throws cpd::Error if the file cannot be written.
  MetricsLog(std::string path, int64_t step);
  void write(const Json& line);

 private:
  std::string path_;
};

}  // namespace cpd
