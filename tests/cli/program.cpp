#include "program.h"

#include <cpd/core/file.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <iostream>
#include <set>

namespace cpd::cli {
int run(int argc, const char* const* argv);
}

namespace cpd::testing {
namespace {

struct Launch {
  std::string folder;
  std::string output;  ///< where standard output goes
  std::string error;
  std::function<void()> before = [] {};  ///< in the new process
  bool executable = false;               ///< the program's own, not the code linked to the tests
};

/// Ends the process as its `main` would, without what the tests do at their end.
[[noreturn]] void run_here(const std::vector<char*>& pointers) {
  const int status = cli::run(static_cast<int>(pointers.size()) - 1, pointers.data());
  std::cout.flush();
  std::fflush(nullptr);
  ::_exit(status);
}

pid_t start(const Launch& launch, const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {CPD_PROGRAM};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (auto& argument : all) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  std::fflush(nullptr);  // or the fork would write it once more
  const pid_t child = ::fork();
  if (child != 0) return child;
  const auto redirect = [](const std::string& path, int to) {
    ::dup2(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), to);
  };
  redirect(launch.output, STDOUT_FILENO);
  redirect(launch.error, STDERR_FILENO);
  if (::chdir(launch.folder.c_str()) != 0) ::_exit(126);
  ::setenv("OMP_NUM_THREADS", "1", 1);
  launch.before();
  if (!launch.executable) run_here(pointers);
  ::execv(CPD_PROGRAM, pointers.data());
  ::_exit(127);
}

/// Waits for the end and reads what was written.
ProgramRun finish(pid_t child, const Launch& launch, bool read_output = true) {
  int status = 0;
  ProgramRun run;
  if (::waitpid(child, &status, 0) == child && WIFEXITED(status)) run.status = WEXITSTATUS(status);
  if (read_output) run.out = read_file(launch.output);
  run.error = read_file(launch.error);
  return run;
}

/// Where standard output and error go: beside the folder of the test, not in it.
Launch launch_in(const std::filesystem::path& folder) {
  return {folder.string(), folder.string() + ".out", folder.string() + ".err"};
}

}  // namespace

void ProgramTest::SetUp() {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string("cpd_") + info->test_suite_name() + "_" + info->name();
  for (char& c : name) c = c == '/' ? '_' : c;
  folder_ = std::filesystem::path(::testing::TempDir()) / name;
  std::filesystem::remove_all(folder_);
  std::filesystem::create_directories(folder_);
}

void ProgramTest::TearDown() {
  for (const char* end : {"", ".out", ".err"}) std::filesystem::remove_all(folder_.string() + end);
}

ProgramRun ProgramTest::cpd(const std::vector<std::string>& arguments) const {
  const Launch launch = launch_in(folder_);
  return finish(start(launch, arguments), launch);
}

ProgramRun ProgramTest::cpd_executable(const std::vector<std::string>& arguments) const {
  Launch launch = launch_in(folder_);
  launch.executable = true;
  return finish(start(launch, arguments), launch);
}

ProgramRun ProgramTest::cpd_on_full_disk(const std::vector<std::string>& arguments,
                                         long bytes) const {
  Launch launch = launch_in(folder_);
  launch.before = [bytes] {
    const rlimit limit{static_cast<rlim_t>(bytes), static_cast<rlim_t>(bytes)};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  };
  return finish(start(launch, arguments), launch);
}

ProgramRun ProgramTest::cpd_writing_to(const std::string& output,
                                       std::vector<std::string> arguments) const {
  Launch launch = launch_in(folder_);
  launch.output = output;
  return finish(start(launch, arguments), launch, false);
}

ProgramRun ProgramTest::interrupted(const std::vector<std::string>& arguments,
                                    const std::string& file, int milliseconds) const {
  constexpr int kPatience = 1200;
  const Launch launch = launch_in(folder_);
  const pid_t child = start(launch, arguments);
  for (int i = 0; i < kPatience && !file.empty() && !exists(file); ++i) ::usleep(100'000);
  ::usleep(static_cast<useconds_t>(milliseconds) * 1000);
  ::kill(child, SIGINT);
  return finish(child, launch);
}

std::string ProgramTest::files() const {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    names.insert(entry.path().filename().string());
  }
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void ProgramTest::write(const std::string& name, const std::string& bytes) const {
  std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
  write_file(path(name), bytes);
}

std::string ProgramTest::read(const std::string& name) const { return read_file(path(name)); }

}  // namespace cpd::testing
