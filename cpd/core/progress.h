#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace cpd {

/// How far long work has come: a bar that renews itself on a terminal, a plain line every few
/// seconds elsewhere. Shows the time left and a text such as the loss.
class Progress {
 public:
  /// Writes to standard error. `total` steps; `title` says what is going on.
  Progress(std::string title, int64_t total);
  /// Writes elsewhere, as on a terminal of the given width or, for 0, as plain lines.
  Progress(std::string title, int64_t total, std::ostream& out, int columns);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// `done` steps are done. Cheap: writes at most ten times a second.
  void update(int64_t done, const std::string& text = "");
  /// Writes the last state and ends the line; further calls do nothing.
  void finish(const std::string& text = "");

 private:
  using Clock = std::chrono::steady_clock;

  void write(bool last);
  std::string state(double elapsed, bool last) const;

  std::string title_;
  std::string text_;
  int64_t total_;
  int64_t done_ = 0;
  std::ostream* out_;
  int columns_;
  Clock::time_point start_;
  Clock::time_point next_;
  bool finished_ = false;
};

/// `0:07`, `12:34`, `1:02:03`.
std::string duration_text(double seconds);

}  // namespace cpd
