#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <vector>

namespace cpd {
namespace {

class File : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), {});
  }

  std::filesystem::path folder_;
};

TEST_F(File, IsWrittenAndReadAgain) {
  const std::string bytes("a\0b\n", 4);
  write_file(path("x"), bytes);
  EXPECT_EQ(read_file(path("x")), bytes);
  write_file(path("x"), "shorter");
  EXPECT_EQ(read_file(path("x")), "shorter");
  EXPECT_EQ(files(), 1);
}

TEST_F(File, StaysAsItWasWhenThereIsNoRoom) {
  write_file(path("x"), "old");
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(write_file(path("x"), std::string(5000, 'n')), Error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(read_file(path("x")), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(File, IsThereOnlyIfTheCheckPasses) {
  const auto check = [&](const std::string& temporary) {
    EXPECT_EQ(read_file(temporary), "new");
    throw Error("is not right");
  };
  EXPECT_THROW(write_file(path("x"), "new", check), Error);
  EXPECT_EQ(files(), 0);
  write_file(path("x"), "new", [](const std::string&) {});
  EXPECT_EQ(read_file(path("x")), "new");
}

TEST_F(File, RemovesWhatKilledWritersHaveLeft) {
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  const std::string gone = path("x.part" + std::to_string(dead));
  const std::vector<std::string> others{path("x.part" + std::to_string(::getppid())),
                                        path("x.part"), path("x.parts"), path("x.part12a"),
                                        path("y.part" + std::to_string(dead))};
  write_file(gone, "half");
  for (const auto& other : others) write_file(other, "theirs");
  write_file(path("x"), "new");
  EXPECT_FALSE(std::filesystem::exists(gone));
  for (const auto& other : others) EXPECT_TRUE(std::filesystem::exists(other)) << other;
}

TEST_F(File, LeavesNothingBehindWhenKilled) {
  const int nameless = ::open(folder_.c_str(), O_WRONLY | O_TMPFILE, 0600);
  if (nameless < 0) GTEST_SKIP() << "the file system has no files without a name";
  ::close(nameless);
  const pid_t child = ::fork();
  if (child == 0) {
    write_file(path("x"), "new", [](const std::string&) { std::raise(SIGKILL); });
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(files(), 0);
}

TEST_F(File, NeverTakesThePlaceOfADevice) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THROW(write_file(path("pipe"), "new"), Error);
  EXPECT_TRUE(std::filesystem::is_fifo(path("pipe")));
  EXPECT_EQ(files(), 1);
}

TEST_F(File, ErrorsNameThePath) {
  try {
    write_file(path("missing/x"), "");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("missing/x: cannot be written"), std::string::npos);
  }
  EXPECT_THROW(read_file(path("none")), Error);
  EXPECT_THROW(read_file(folder_.string()), Error);
}

}  // namespace
}  // namespace cpd
