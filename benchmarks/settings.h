#pragma once

#include <cpd/core/error.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace cpd::benchmarks {

/// Options of a benchmark by name, without the dashes.
using Settings = std::map<std::string, std::string>;

/// Reads `--NAME VALUE` pairs from the `first` argument on over what is there. Names without a
/// value of their own before are listed in `others`. Throws cpd::Error that names a wrong option.
inline void read_settings(int argc, char** argv, int first, Settings& settings,
                          const std::set<std::string>& others = {}) {
  for (int i = first; i < argc; i += 2) {
    const std::string name = argv[i];
    const std::string key = name.substr(std::min<size_t>(2, name.size()));
    const bool known = settings.contains(key) || others.contains(key);
    if (name.rfind("--", 0) != 0 || !known || i + 1 == argc) {
      throw Error("'" + name + "' is no option with a value", {}, "--NAME VALUE");
    }
    settings[key] = argv[i + 1];
  }
}

/// The parts of a setting between commas.
inline std::vector<std::string> list_of(const Settings& settings, const std::string& name) {
  std::istringstream text(settings.at(name));
  std::vector<std::string> parts;
  for (std::string each; std::getline(text, each, ',');) parts.push_back(each);
  return parts;
}

/// Wall-clock seconds of a piece of work.
inline double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace cpd::benchmarks
