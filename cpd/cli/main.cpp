#include <cpd/cli/command.h>

int main(int argc, char** argv) { return cpd::cli::run(argc, argv); }
