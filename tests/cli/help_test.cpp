#include <gmock/gmock.h>

#include <sstream>

#include "program.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// The commands that the overview lists.
std::vector<std::string> listed_commands(const std::string& overview) {
  std::vector<std::string> commands;
  std::istringstream lines(overview);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("  ", 0) == 0) commands.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return commands;
}

/// The command lines under `example:`, without the program's name, split at blanks.
std::vector<std::vector<std::string>> examples_in(const std::string& help) {
  std::vector<std::vector<std::string>> examples;
  std::istringstream lines(help.substr(help.find("example:\n") + 9));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    EXPECT_EQ(word, "cpd") << line;
    examples.emplace_back();
    while (words >> word) examples.back().push_back(word);
  }
  return examples;
}

using Help = ProgramTest;

TEST_F(Help, ListsAllCommands) {
  const ProgramRun run = cpd({"--help"});
  EXPECT_EQ(run.status, 0);
  EXPECT_THAT(listed_commands(run.out),
              ::testing::IsSupersetOf({"inspect", "explain", "sample", "prune", "eval", "compare",
                                       "verify", "measure"}));
  EXPECT_EQ(cpd({"help"}).out, run.out);
  const ProgramRun bare = cpd({});
  EXPECT_EQ(bare.status, 2);
  EXPECT_EQ(bare.error, run.out);
}

TEST_F(Help, TheExecutableDoesTheSame) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--help"}, {"prun"}, {"inspect", "zoo:resnet20", "--json"}, {"eval", "zoo:fashion"}}) {
    const ProgramRun run = cpd_executable(arguments), forked = cpd(arguments);
    EXPECT_EQ(run.status, forked.status);
    EXPECT_EQ(run.out, forked.out);
    EXPECT_EQ(run.error, forked.error);
  }
}

TEST_F(Help, OfEveryCommandHasExamplesThatWork) {
  for (const auto& command : listed_commands(cpd({"--help"}).out)) {
    const ProgramRun help = cpd({command, "--help"});
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.out, StartsWith("usage: cpd " + command + " "));
    EXPECT_EQ(cpd({command, "-h"}).out, help.out);
    const auto examples = examples_in(help.out);
    EXPECT_FALSE(examples.empty()) << command;
    if (command == "demo") continue;  // minutes long; it has a test of its own
    for (const auto& example : examples) {
      const ProgramRun run = cpd(example);
      EXPECT_EQ(run.status, 0) << ::testing::PrintToString(example) << "\n" << run.error;
    }
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
}

TEST_F(Help, WrongUsageIsToldWithTheNearestName) {
  const auto error_of = [&](const std::vector<std::string>& arguments) {
    const ProgramRun run = cpd(arguments);
    EXPECT_EQ(run.status, 2) << run.error;
    EXPECT_EQ(run.out, "");
    return run.error;
  };
  EXPECT_THAT(error_of({"prun"}), HasSubstr("no command 'prun' (did you mean 'prune'?)"));
  EXPECT_THAT(error_of({"prune", "zoo:resnet20", "--imporance", "l1"}),
              HasSubstr("no option '--imporance' (did you mean '--importance'?)"));
  EXPECT_THAT(error_of({"inspect"}), HasSubstr("the argument MODEL is missing"));
  EXPECT_THAT(error_of({"inspect", "a.pt", "b.pt"}),
              HasSubstr("'b.pt' is one argument too many; expected MODEL only"));
  EXPECT_THAT(error_of({"inspect", "zoo:resnet20", "--seed"}), HasSubstr("--seed"));
  EXPECT_THAT(error_of({"inspect", "zoo:resnet20", "--seed", "-1"}),
              HasSubstr("--seed: the value is '-1'; expected a whole number, 0 or more"));
  EXPECT_THAT(error_of({"inspect", "zoo:resnet20", "--seed", "one"}),
              HasSubstr("--seed: the value is 'one'"));
  EXPECT_THAT(error_of({"inspect", "zoo:resnet20", "--input", "2,x"}), HasSubstr("--input: "));
  EXPECT_THAT(error_of({"eval", "zoo:fashion"}), HasSubstr("--data is missing"));
}

}  // namespace
}  // namespace cpd::testing
