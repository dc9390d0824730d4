#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace cpd::cli {

namespace po = boost::program_options;

/// One command of the program: `cpd NAME ...`.
struct Command {
  std::string name;
  std::string arguments;                ///< positional ones, as the help shows them: `MODEL`
  std::string summary;                  ///< one line
  std::string example;                  ///< command lines that work, one below the other
  std::vector<std::string> positional;  ///< names of the positional arguments, in order
  int required = 0;                     ///< how many of them must be given
  std::function<void(po::options_description&)> add_options;
  std::function<int(const po::variables_map&)> run;
};

/// Wrong usage: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

Command inspect_command();
Command explain_command();
Command sample_command();
Command prune_command();
Command train_command();
Command distill_command();
Command eval_command();
Command compare_command();
Command verify_command();
Command measure_command();
Command sensitivity_command();
Command demo_command();

/// All commands, in the order of the help.
std::vector<Command> commands();

/// Parses and runs; returns the exit status: 0 done, 1 the work failed, 2 wrong usage. Results go
/// to standard output, progress, warnings and errors to standard error.
int run(int argc, const char* const* argv);

}  // namespace cpd::cli
