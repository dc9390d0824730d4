#include <cpd/core/progress.h>
#include <gtest/gtest.h>

#include <sstream>

namespace cpd {
namespace {

TEST(Progress, WritesPlainLinesWithoutATerminal) {
  std::ostringstream out;
  Progress progress("training", 10, out, 0);
  progress.update(5, "loss 0.5");
  EXPECT_EQ(out.str(), "");  // too early for a line
  progress.update(10, "loss 0.25");
  progress.finish();
  EXPECT_EQ(out.str(), "training: 10/10, took 0:00, loss 0.25\n");
}

TEST(Progress, RenewsOneLineOnATerminal) {
  std::ostringstream out;
  Progress progress("training", 10, out, 80);
  progress.update(5, "loss 0.5");
  EXPECT_EQ(out.str().find("\rtraining [==============="), 0U);
  EXPECT_NE(out.str().find("5/10, 0:00 left, loss 0.5"), std::string::npos);
  EXPECT_EQ(out.str().find('\n'), std::string::npos);
  progress.finish();
  EXPECT_EQ(out.str().back(), '\n');
}

TEST(Progress, StaysWithinTheTerminal) {
  std::ostringstream out;
  Progress progress("a title that is long", 10, out, 24);
  progress.update(5, "and a text that is longer");
  const std::string line = out.str();
  EXPECT_LE(line.find("\x1b[K") - 1, 23U);
}

TEST(Progress, WritesNothingAfterTheEnd) {
  std::ostringstream out;
  Progress progress("x", 2, out, 0);
  progress.finish();
  const std::string end = out.str();
  progress.update(2);
  progress.finish();
  EXPECT_EQ(out.str(), end);
}

TEST(DurationText, ReadsAsAClock) {
  EXPECT_EQ(duration_text(7.4), "0:07");
  EXPECT_EQ(duration_text(754), "12:34");
  EXPECT_EQ(duration_text(3723), "1:02:03");
}

}  // namespace
}  // namespace cpd
