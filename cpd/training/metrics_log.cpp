#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/training/metrics_log.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace cpd {

MetricsLog::MetricsLog(std::string path, int64_t step) : path_(std::move(path)) {
  if (path_.empty()) return;
  std::string kept;
  if (step > 0 && std::filesystem::exists(path_)) {
    std::istringstream lines(read_file(path_));
    for (std::string line; std::getline(lines, line);) {
      // A run that was killed may have left half a line behind.
      const Json json = Json::parse(line, nullptr, false);
      if (json.is_object() && json.value("step", step + 1) <= step) kept += line + "\n";
    }
  }
  write_file(path_, kept);
}

void MetricsLog::write(const Json& line) {
  if (path_.empty()) return;
  std::ofstream file(path_, std::ios::app);
  file << line.dump() << "\n" << std::flush;
  if (!file) throw Error("the metrics cannot be written", {.path = path_});
}

}  // namespace cpd
