#pragma once

#include <cpd/core/json.h>

#include <cstdint>
#include <string>

namespace cpd {

/// Metrics of a run as a file of events that TensorBoard shows: records of tensorflow/core/util/
/// event.proto, each framed by its length and two CRC-32C, as
/// tensorflow/core/lib/io/record_writer.h describes. Written by hand since no library of C++ that
/// writes them is packaged.
class EventLog {
 public:
  /// A new file in `folder`, named after the time: points of earlier files there after `step` are
  /// no longer shown. Throws cpd::Error if it cannot be written.
  EventLog(const std::string& folder, int64_t step);
  /// A point at `step` for each number of the line.
  void write(const Json& line);

 private:
  void append(const std::string& event);

  std::string path_;
};

}  // namespace cpd
