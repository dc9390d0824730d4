#pragma once

#include <cpd/core/json.h>
#include <cpd/model/model.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cpd::cli {

/// The figures by which networks are compared.
struct Figures {
  std::string name;  ///< of its column in the table
  int64_t macs = 0;  ///< per sample
  int64_t parameters = 0;
  int64_t memory = 0;                 ///< bytes of weights and peak activations at batch 1
  std::optional<int64_t> bytes{};     ///< of the file, if there is one
  std::map<int64_t, double> latency;  ///< measured seconds by batch size
  std::optional<double> accuracy{};   ///< a fraction
};

/// Counts and measures a network at batch sizes 1 and 16, or at the only one that it takes; `path`
/// is its file, which may be none.
Figures figures_of(const Model& model, const std::string& path, const std::string& name);

/// A column for each network, and how much of the first one's figures the last one keeps.
std::string figures_table(const std::vector<Figures>& columns);
Json figures_json(const Figures& figures);

/// On how many threads latencies are measured: `latency on 2 threads`.
std::string threads_text();

}  // namespace cpd::cli
