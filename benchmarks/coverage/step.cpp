#include "step.h"

#include <ctime>
#include <fstream>
#include <string>

namespace cpd::coverage {
namespace {

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// A line of /proc/self/status, in MB.
double status_megabytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    double kilobytes = 0;
    if (word == key + ":" && status >> kilobytes) return kilobytes / 1000;
  }
  return 0;
}

void reset_peak() { std::ofstream("/proc/self/clear_refs") << 5; }

}  // namespace

Step measured(const std::function<void()>& work) {
  reset_peak();
  const double before = status_megabytes("VmRSS"), start = processor_seconds();
  work();
  Step step;
  step.seconds = processor_seconds() - start;
  step.megabytes = status_megabytes("VmHWM");
  step.grown = step.megabytes - before;
  return step;
}

Json to_json(const Step& step) {
  return {{"seconds", step.seconds}, {"megabytes", step.megabytes}, {"grown", step.grown}};
}

}  // namespace cpd::coverage
