#include <c10/util/Exception.h>
#include <cpd/cli/command.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/core/version.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <sstream>

namespace cpd::cli {
namespace {

/// Takes what stands behind the last positional argument.
constexpr const char* kSurplus = "surplus arguments";

void print_overview(std::ostream& out) {
  out << "cpd: comb, prune and distill trained networks\n\nusage: cpd COMMAND ...\n\n";
  constexpr size_t kColumn = 36;
  for (const auto& command : commands()) {
    std::string head = "  " + command.name + " " + command.arguments;
    head.resize(std::max(head.size() + 2, kColumn), ' ');
    out << head << command.summary << "\n";
  }
  out << "\n`cpd COMMAND --help` explains a command and gives an example. MODEL is a TorchScript\n"
         "file, or a network of the zoo with random weights, such as zoo:resnet20.\n";
}

void print_help(const Command& command, const po::options_description& options) {
  std::cout << "usage: cpd " << command.name << " " << command.arguments
            << (command.arguments.empty() ? "" : " ") << "[options]\n\n"
            << command.summary << "\n\n"
            << options << "\nexample:\n";
  std::istringstream lines(command.example);
  for (std::string line; std::getline(lines, line);) std::cout << "  " << line << "\n";
}

std::vector<std::string> names_of(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back("--" + option->long_name());
  return names;
}

[[noreturn]] void refuse_unknown(const po::unknown_option& error,
                                 const po::options_description& options) {
  const std::string& name = error.get_option_name();
  throw UsageError("there is no option '" + name + "'" + suggestion(name, names_of(options)));
}

void check_positional(const Command& command, const po::variables_map& values) {
  for (int i = 0; i < command.required; ++i) {
    const auto& name = command.positional[static_cast<size_t>(i)];
    if (values.count(name) == 0) throw UsageError("the argument " + name + " is missing");
  }
  if (values.count(kSurplus) == 0) return;
  throw UsageError(
      "'" + values[kSurplus].as<std::vector<std::string>>().front() +
      "' is one argument too many; expected " +
      (command.positional.empty() ? "options only" : joined(command.positional, " ") + " only"));
}

po::variables_map parse(const Command& command, const po::options_description& visible, int argc,
                        const char* const* argv) {
  po::options_description hidden;
  po::positional_options_description positional;
  for (const auto& name : command.positional) {
    hidden.add_options()(name.c_str(), po::value<std::string>());
    positional.add(name.c_str(), 1);
  }
  hidden.add_options()(kSurplus, po::value<std::vector<std::string>>());
  positional.add(kSurplus, -1);
  po::options_description all;
  all.add(visible).add(hidden);
  using Style = po::command_line_style::style_t;
  const int style = po::command_line_style::unix_style & ~Style::allow_guessing;
  po::variables_map values;
  try {
    po::store(
        po::command_line_parser(argc, argv).options(all).positional(positional).style(style).run(),
        values);
    po::notify(values);
  } catch (const po::unknown_option& error) {
    refuse_unknown(error, visible);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  return values;
}

int run_command(const Command& command, int argc, const char* const* argv) {
  constexpr unsigned kColumns = 100;
  po::options_description options("options", kColumns);
  command.add_options(options);
  options.add_options()("help,h", "show this help");
  const auto values = parse(command, options, argc, argv);
  if (values.count("help") > 0) {
    print_help(command, options);
    return 0;
  }
  check_positional(command, values);
  return command.run(values);
}

/// Runs a command and tells what went wrong in one sentence.
int run_and_report(const Command& command, int argc, const char* const* argv) {
  const auto tell = [&](const std::string& problem) {
    std::cout << std::flush;
    std::cerr << "cpd " << command.name << ": " << problem << "\n";
  };
  try {
    const int status = run_command(command, argc, argv);
    std::cout << std::flush;
    if (std::cout.good()) return status;
    tell("the results could not be written to standard output");
  } catch (const UsageError& error) {
    tell(error.what());
    std::cerr << "`cpd " << command.name << " --help` shows what it takes.\n";
    return 2;
  } catch (const c10::Error& error) {
    tell(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    tell("there is not enough memory");
  } catch (const std::exception& error) {
    tell(error.what());
  }
  return 1;
}

void prepare_process() {
  // A file that may grow no further is an error to be told, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  // LibTorch takes large tensors in huge pages: fewer faults, and memory with fewer gaps.
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
}

}  // namespace

std::vector<Command> commands() {
  return {inspect_command(), explain_command(), sample_command(),      prune_command(),
          train_command(),   distill_command(), eval_command(),        compare_command(),
          verify_command(),  measure_command(), sensitivity_command(), demo_command()};
}

int run(int argc, const char* const* argv) {
  prepare_process();
  const std::string name = argc > 1 ? argv[1] : "";
  if (name.empty() || name == "--help" || name == "-h" || name == "help") {
    print_overview(name.empty() ? std::cerr : std::cout);
    return name.empty() ? 2 : 0;
  }
  if (name == "--version") {
    std::cout << "cpd " << version() << "\n";
    return 0;
  }
  std::vector<std::string> known;
  for (const auto& command : commands()) {
    if (command.name == name) return run_and_report(command, argc - 1, argv + 1);
    known.push_back(command.name);
  }
  std::cerr << "cpd: there is no command '" << name << "'" << suggestion(name, known) << "\n\n";
  print_overview(std::cerr);
  return 2;
}

}  // namespace cpd::cli
