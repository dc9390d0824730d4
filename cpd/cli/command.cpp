#include <cpd/cli/command.h>
#include <cpd/core/error.h>

#include <algorithm>
#include <exception>
#include <iostream>

namespace cpd::cli {
namespace {

void print_overview(std::ostream& out) {
  out << "cpd: comb, prune and distill trained networks\n\nusage: cpd COMMAND ...\n\n";
  for (const auto& command : commands()) {
    std::string head = "  " + command.name + " " + command.arguments;
    head.resize(std::max<size_t>(head.size() + 2, 34), ' ');
    out << head << command.summary << "\n";
  }
  out << "\n`cpd COMMAND --help` explains a command and gives an example.\n";
}

void print_help(const Command& command, const po::options_description& options) {
  std::cout << "usage: cpd " << command.name << " " << command.arguments << " [options]\n\n"
            << command.summary << "\n\n"
            << options << "\nexample:\n  " << command.example << "\n";
}

po::variables_map parse(const Command& command, po::options_description visible, int argc,
                        const char* const* argv) {
  po::options_description all;
  all.add(visible);
  po::options_description hidden;
  po::positional_options_description positional;
  for (const auto& name : command.positional) {
    hidden.add_options()(name.c_str(), po::value<std::string>());
    positional.add(name.c_str(), 1);
  }
  all.add(hidden);
  po::variables_map values;
  using Style = po::command_line_style::style_t;
  const int style = po::command_line_style::unix_style & ~Style::allow_guessing;
  po::store(po::command_line_parser(argc, argv).options(all).positional(positional).style(style).run(),
            values);
  if (values.count("help") == 0) po::notify(values);
  return values;
}

void require_positional(const Command& command, const po::variables_map& values) {
  for (int i = 0; i < command.required; ++i) {
    const auto& name = command.positional[static_cast<size_t>(i)];
    if (values.count(name) == 0) throw UsageError("the argument " + name + " is missing");
  }
}

int run_command(const Command& command, int argc, const char* const* argv) {
  po::options_description options("options");
  command.add_options(options);
  options.add_options()("help,h", "show this help");
  try {
    const auto values = parse(command, options, argc, argv);
    if (values.count("help") > 0) {
      print_help(command, options);
      return 0;
    }
    require_positional(command, values);
    return command.run(values);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
}

}  // namespace

std::vector<Command> commands() { return {inspect_command(), explain_command()}; }

int run(int argc, const char* const* argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name.empty() || name == "--help" || name == "-h" || name == "help") {
    print_overview(name.empty() ? std::cerr : std::cout);
    return name.empty() ? 2 : 0;
  }
  const auto all = commands();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Command& command) { return command.name == name; });
  if (found == all.end()) {
    std::cerr << "cpd: there is no command '" << name << "'\n\n";
    print_overview(std::cerr);
    return 2;
  }
  try {
    return run_command(*found, argc - 1, argv + 1);
  } catch (const UsageError& error) {
    std::cerr << "cpd " << name << ": " << error.what() << "\n`cpd " << name
              << " --help` shows what it takes.\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "cpd " << name << ": " << error.what() << "\n";
    return 1;
  }
}

}  // namespace cpd::cli
