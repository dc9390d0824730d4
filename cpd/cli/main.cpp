#include <cpd/cli/command.h>

#include <csignal>
#include <cstdlib>

int main(int argc, char** argv) {
  // A file that may grow no further is an error to be told, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  // LibTorch takes large tensors in huge pages: fewer faults, and memory with fewer gaps.
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
  return cpd::cli::run(argc, argv);
}
