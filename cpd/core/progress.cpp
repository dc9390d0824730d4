#include <cpd/core/progress.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace cpd {
namespace {

constexpr auto kBarInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(10);

/// The width of the terminal behind standard error; 0 if there is none.
int terminal_columns() {
  if (::isatty(STDERR_FILENO) == 0) return 0;
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string bar_of(double fraction, size_t width) {
  const auto full = static_cast<size_t>(fraction * static_cast<double>(width));
  std::string bar(full, '=');
  if (full < width) bar += '>';
  bar.resize(width, ' ');
  return '[' + bar + ']';
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  char text[32];
  if (whole < 3600) {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d:%02d:%02d", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60), static_cast<int>(whole % 60));
  }
  return text;
}

Progress::Progress(std::string title, int64_t total)
    : Progress(std::move(title), total, std::cerr, terminal_columns()) {}

Progress::Progress(std::string title, int64_t total, std::ostream& out, int columns)
    : title_(std::move(title)),
      total_(total),
      out_(&out),
      columns_(columns),
      start_(Clock::now()),
      next_(start_ + (columns > 0 ? Clock::duration::zero() : Clock::duration(kLineInterval))) {}

Progress::~Progress() {
  // A bar that was cut off by an exception must not share its line with the message.
  if (!finished_ && columns_ > 0) *out_ << '\n' << std::flush;
}

void Progress::update(int64_t done, const std::string& text) {
  if (finished_) return;
  done_ = done;
  text_ = text;
  const Clock::time_point now = Clock::now();
  if (now < next_) return;
  next_ = now + (columns_ > 0 ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval));
  write(false);
}

void Progress::finish(const std::string& text) {
  if (finished_) return;
  if (!text.empty()) text_ = text;
  finished_ = true;
  write(true);
}

std::string Progress::state(double elapsed, bool last) const {
  const double fraction =
      total_ > 0 ? std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0)
                 : 0.0;
  std::string text = std::to_string(done_) + "/" + std::to_string(total_);
  if (last) {
    text += ", took " + duration_text(elapsed);
  } else if (fraction > 0) {
    text += ", " + duration_text(elapsed * (1 - fraction) / fraction) + " left";
  }
  return text_.empty() ? text : text + ", " + text_;
}

void Progress::write(bool last) {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const std::string after = state(elapsed, last);
  if (columns_ <= 0) {
    *out_ << title_ << ": " << after << '\n' << std::flush;
    return;
  }
  const double fraction =
      total_ > 0 ? std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0)
                 : 0.0;
  const auto room = static_cast<size_t>(columns_);
  const size_t taken = title_.size() + after.size() + 5;
  std::string line = title_ + " ";
  if (taken + 8 < room) line += bar_of(fraction, std::min<size_t>(room - taken, 30)) + " ";
  line += after;
  if (line.size() >= room) line.resize(room - 1);
  *out_ << '\r' << line << "\x1b[K";
  if (last) *out_ << '\n';
  *out_ << std::flush;
}

}  // namespace cpd
