#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace cpd::testing {

/// What a run of the program left behind.
struct ProgramRun {
  int status = -1;    ///< exit status; -1: ended by a signal
  std::string out;    ///< standard output
  std::string error;  ///< standard error
};

/// Runs the program on one thread, in a fork of the test: LibTorch takes half a second to load,
/// more than most commands to run.
class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// `cpd` with these arguments, in the folder of the test.
  ProgramRun cpd(const std::vector<std::string>& arguments) const;
  /// The same, by the executable.
  ProgramRun cpd_executable(const std::vector<std::string>& arguments) const;
  /// The same as `cpd` with no file growing beyond so many bytes.
  ProgramRun cpd_on_full_disk(const std::vector<std::string>& arguments, long bytes) const;
  /// The same with standard output to a file or device.
  ProgramRun cpd_writing_to(const std::string& output, std::vector<std::string> arguments) const;
  /// Starts it, waits until a file is there (none: not for any) and some time more, sends Ctrl-C
  /// and waits for its end.
  ProgramRun interrupted(const std::vector<std::string>& arguments, const std::string& file,
                         int milliseconds) const;

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  bool exists(const std::string& name) const { return std::filesystem::exists(path(name)); }
  /// Names of the files in the folder of the test, with commas between.
  std::string files() const;
  void write(const std::string& name, const std::string& bytes) const;
  std::string read(const std::string& name) const;

  std::filesystem::path folder_;
};

}  // namespace cpd::testing
