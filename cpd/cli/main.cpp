#include <cpd/cli/command.h>

#include <csignal>

int main(int argc, char** argv) {
  // A file that may grow no further is an error to be told, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  return cpd::cli::run(argc, argv);
}
